//! Dispatch: whistles, the ladder, the directory of units, policies. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
pub mod operations;
mod rpc;
mod schedule;
pub mod store;
mod subscriptions;
pub mod views;

pub use config::Config;
pub use error::Error;
use foundation::db::Schema;
use foundation::{BoxFuture, Host};
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "dispatch", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service, SCHEMA).await?;
        store::require_standby(&host.db, config.without_standby).await?;
        let (db, ladder) = (host.db.clone(), [(); schedule::FIRING].map(|()| host.db.session()));
        host.grpc(|server| rpc::serve(server, &db))
            .subscribe(routes())?
            .urgent("ladder", move |stop| schedule::ladder(ladder, stop))
            .run()
            .await
    })
}
