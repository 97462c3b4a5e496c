//! The one way a grievance changes.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::grievance::{Changed, Command, decide};
use crate::error::Error;
use crate::store;

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let actor = context.actor();
        let (before, at) = match &command {
            Command::Raise(new) if context.scope.admits(&new.area, &[&actor.subject]) => {
                (None, store::grievance::begin(tx, new).await?)
            }
            Command::Raise(new) => return Err(Error::not_found("area", &new.area)),
            Command::Review(..) | Command::Grade(..) | Command::Progress(..) => {
                let (before, now) = store::grievance::load(tx, &context.scope, command.id()).await?;
                (Some(before), now)
            }
        };
        let (grievance, events) = decide(before.as_ref(), command, actor, at)?;
        let changed = Changed { grievance, events, at };
        if !changed.events.is_empty() {
            store::grievance::save(tx, &changed.grievance, &changed.events, actor, at).await?;
            publish(tx, announcements::of(context, before.as_ref(), &changed)).await?;
        }
        Ok(changed)
    })
}
