//! Residents: who lives where. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
pub mod operations;
mod rpc;
mod store;
mod views;
mod wire;

pub use config::Config;
pub use error::Error;
use foundation::data::Schema;
use foundation::{BoxFuture, Host};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "residents", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service, SCHEMA).await?;
        let calls = host.calls();
        host.grpc(|server| rpc::serve(server, calls)).run().await
    })
}
