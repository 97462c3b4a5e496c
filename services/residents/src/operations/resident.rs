//! The one way a resident changes.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::data::clock;
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::resident::{Changed, Command, decide};
use crate::error::Error;
use crate::store;

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let Command::Register { area, .. } = &command;
        if !context.scope.admits(area, &[]) {
            return Err(Error::not_found("area", area));
        }
        let at = clock::now(tx).await?;
        let (resident, events) = decide(None, command)?;
        store::resident::add(tx, &resident, at).await?;
        publish(tx, announcements::of(context, &resident, &events)).await?;
        Ok(Changed { resident, at })
    })
}
