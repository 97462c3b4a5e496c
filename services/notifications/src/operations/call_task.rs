//! The one way a call task changes once the desk sees it.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::call_task::{Changed, Command, Event, decide};
use crate::error::Error;
use crate::store;

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let (before, at) = store::call_task::load(tx, &context.scope, command.id()).await?;
        let (task, event) = decide(&before, command)?;
        let Event::Recorded(record) = &event;
        store::call_task::save(tx, &task, record).await?;
        let changed = Changed { task, event, at };
        publish(tx, vec![announcements::recorded(context, &changed)]).await?;
        Ok(changed)
    })
}
