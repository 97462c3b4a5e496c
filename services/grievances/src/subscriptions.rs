//! What grievances subscribes to: how far the whistle over each has come.

use foundation::BoxFuture;
use foundation::base::Failure;
use foundation::log::{Envelope, Routes};
use sqlx::PgConnection;

use crate::operations;
use crate::wire::event as wire;

/// Grievances whose whistles have come further are written together.
pub fn routes() -> Routes {
    Routes::gathering("grievances", &wire::SUBJECTS, progressed).unhurried()
}

fn progressed(tx: &mut PgConnection, events: Vec<Envelope>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let said = events.iter().filter_map(|event| wire::progress(event).transpose());
        let said: Vec<_> = said.collect::<Result<_, _>>()?;
        Ok(operations::grievance::progress_many(tx, &said).await?)
    })
}
