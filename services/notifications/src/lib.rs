//! Notifications: reminders by SMS with their receipts, call tasks and call records, alarms. See `README.md` beside this
//! crate.

mod announcements;
pub mod config;
pub mod domain;
mod error;
mod gateway;
pub mod operations;
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
pub use gateway::Gateway;
use operations::Operations;
use secrecy::ExposeSecret as _;
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "notifications", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service.clone(), SCHEMA).await?;
        anyhow::ensure!(config.link_key.expose_secret().len() >= 32, "HAIQU_LINK_KEY must be at least 32 characters");
        let operations = Operations {
            db: host.db.clone(),
            dispatch: client::peer("dispatch", &config.service.peers, &host.auth.credentials)?,
            gateway: Gateway::new(&config.sms_url, config.sms_key)?,
            link_base: config.link_base.trim_end_matches('/').into(),
            link_key: config.link_key,
        };
        let [sender, tasks, receipts, orphans] = std::array::from_fn(|_| operations.clone());
        host.grpc(|server| rpc::serve(server, &operations))
            .subscribe(routes())?
            .schedule("sender", move |stop| schedule::sender(sender, stop))
            .schedule("call tasks", move |stop| schedule::tasks(tasks, stop))
            .schedule("orphans", move |stop| schedule::orphans(orphans, stop))
            .schedule("receipts", move |stop| schedule::receipts(receipts, stop))
            .run()
            .await
    })
}
