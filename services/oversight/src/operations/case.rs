//! Cases are opened by rungs, and released by the centre.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::publish;
use foundation::out::{self, enqueue};
use sqlx::PgConnection;

use crate::domain::case::{Case, Changed, Command, Event, decide};
use crate::error::Error;
use crate::{announcements, deliveries, store};

/// A case to be opened, with the trace of what asks for it.
pub type Opened = (Case, Option<String>);

/// Opens cases, each once.
pub async fn open_many(tx: &mut PgConnection, opened: &[Opened]) -> Result<(), Error> {
    let cases: Vec<_> = opened.iter().map(|(case, _)| *case).collect();
    store::case::add(tx, &cases).await?;
    let queued = opened.iter().map(|(case, traceparent)| deliveries::push::queued(case, traceparent.as_deref()));
    Ok(enqueue(tx, &queued.collect::<Vec<_>>()).await?)
}

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let (before, at) = store::case::load(tx, &context.scope, command.id()).await?;
        let (case, event) = decide(&before, command)?;
        store::case::save(tx, &[case]).await?;
        match event {
            Event::Released => out::store::release(tx, case.id).await?,
        };
        let changed = Changed { case, event, at };
        publish(tx, vec![announcements::of(context, &changed)]).await?;
        Ok(changed)
    })
}
