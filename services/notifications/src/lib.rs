//! Notifications: reminders by SMS with their receipts, call tasks and call records, alarms. See `README.md` beside this
//! crate.

mod announcements;
pub mod config;
pub mod deliveries;
pub mod dispatch;
pub mod domain;
mod error;
mod gateway;
pub mod operations;
mod rpc;
pub mod store;
mod subscriptions;
mod views;
mod wire;

pub use config::Config;
use deliveries::call::Call;
use deliveries::sms::Sms;
use dispatch::Dispatch;
use domain::link::Links;
pub use error::Error;
use foundation::call::client;
use foundation::data::Schema;
use foundation::{BoxFuture, Host};
pub use gateway::Gateway;
use operations::link::Answering;
pub use subscriptions::routes;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// This service's tables.
pub const SCHEMA: Schema = Schema { name: "notifications", migrations: &MIGRATIONS };

/// Runs the service until a signal.
pub fn run(config: Config) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let host = Host::start(config.service.clone(), SCHEMA).await?;
        let dispatch = Dispatch(client::peer("dispatch", &config.service.peers, &host.auth.credentials)?);
        let links = Links { base: config.link_base.trim_end_matches('/').into(), key: config.link_key };
        let gateway = Gateway::new(&config.sms_url, config.sms_key)?;
        let answering = Answering { db: host.db.clone(), dispatch: dispatch.clone(), links: links.clone() };
        let calls = host.calls();
        host.grpc(|server| rpc::serve(server, calls, answering))
            .subscribe(routes())?
            .deliver(Sms { dispatch: dispatch.clone(), gateway, links })
            .deliver(Call { dispatch })
            .run()
            .await
    })
}
