//! Grievances: what people ask for, raised, reviewed, followed, graded. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
pub mod operations;
pub mod photo_store;
mod rpc;
pub mod store;
mod subscriptions;
mod views;
mod wire;

pub use config::Config;
pub use error::Error;
use foundation::data::Schema;
use foundation::{BoxFuture, Host};
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "grievances", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let (host, feed) = Host::start(config.service, SCHEMA).await?.feed();
        let (calls, photos) = (host.calls(), photo_store::open(&config.photo_store)?);
        host.grpc(|server| rpc::serve(server, calls, feed, photos)).subscribe(routes())?.run().await
    })
}
