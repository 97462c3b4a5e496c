//! The one way the directory changes.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::directory::{Changed, Command, decide};
use crate::error::Error;
use crate::store;

/// Carries out a command. The directory is the centre's as a whole.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        if !context.scope.all() {
            return Err(Error::NotFound("directory of yours".into()));
        }
        let version = store::directory::load(tx, &command).await?;
        let changed = decide(version, command)?;
        store::directory::save(tx, &changed).await?;
        publish(tx, vec![announcements::entry_changed(context, &changed)]).await?;
        Ok(changed)
    })
}
