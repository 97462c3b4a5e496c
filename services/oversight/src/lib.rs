//! Oversight: cases with their timelines, pushed to 阳光+ until a receipt comes back. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod deliveries;
pub mod dispatch;
pub mod domain;
mod error;
pub mod operations;
mod platform;
mod rpc;
pub mod store;
mod subscriptions;
mod views;
mod wire;

pub use config::Config;
use deliveries::correction::Corrections;
use deliveries::push::Push;
use dispatch::Dispatch;
pub use error::Error;
use foundation::call::client;
use foundation::data::Schema;
use foundation::{BoxFuture, Host};
pub use platform::Platform;
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "oversight", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service.clone(), SCHEMA).await?;
        let dispatch = Dispatch(client::peer("dispatch", &config.service.peers, &host.auth.credentials)?);
        let platform = Platform::new(&config.platform_url, config.platform_key)?;
        let (calls, db) = (host.calls(), host.db.clone());
        host.grpc(|server| rpc::serve(server, calls))
            .subscribe(routes())?
            .deliver(Push { db, dispatch: dispatch.clone(), platform: platform.clone() })
            .deliver(Corrections { dispatch, platform })
            .run()
            .await
    })
}
