//! Dispatch: whistles, the ladder, the directory of units, policies. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
pub mod operations;
mod rpc;
pub mod schedule;
pub mod store;
mod subscriptions;
pub mod views;
mod wire;

pub use config::Config;
pub use error::Error;
use foundation::data::Schema;
use foundation::{BoxFuture, Host};
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "dispatch", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service, SCHEMA).await?;
        store::policy::require_standby(&host.db, config.without_standby).await?;
        let ladder = [(); schedule::FIRING].map(|()| host.db.session());
        let (host, feed) = host.feed();
        let calls = host.calls();
        host.grpc(|server| rpc::serve(server, calls, feed))
            .subscribe(routes())?
            .urgent("ladder", move |tick| schedule::ladder(ladder, tick))
            .run()
            .await
    })
}
