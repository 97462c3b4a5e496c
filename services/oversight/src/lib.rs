//! Oversight: cases with their timelines, pushed to 阳光+ until a receipt comes back. See `README.md` beside this crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
pub mod operations;
mod platform;
mod rpc;
mod schedule;
pub mod store;
mod subscriptions;
mod views;

pub use config::Config;
pub use error::Error;
use foundation::db::Schema;
use foundation::rpc::client;
use foundation::{BoxFuture, Host};
use operations::Operations;
pub use platform::Platform;
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "oversight", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service.clone(), SCHEMA).await?;
        let operations = Operations {
            db: host.db.clone(),
            dispatch: client::peer("dispatch", &config.service.peers, &host.auth.credentials)?,
            platform: Platform::new(&config.platform_url, config.platform_key)?,
        };
        let [pusher, corrections, orphans] = std::array::from_fn(|_| operations.clone());
        host.grpc(|server| rpc::serve(server, &operations))
            .subscribe(routes())?
            .schedule("pusher", move |stop| schedule::pusher(pusher, stop))
            .schedule("corrections", move |stop| schedule::corrections(corrections, stop))
            .schedule("orphans", move |stop| schedule::orphans(orphans, stop))
            .run()
            .await
    })
}
