//! What notifications subscribes to: rungs that fired.

use foundation::BoxFuture;
use foundation::base::Failure;
use foundation::log::{Envelope, Routes};
use proto::Event as _;
use proto::events::v1::RungFired;
use sqlx::PgConnection;

use crate::operations;
use crate::wire::event as wire;

/// Rungs that fired together are written down together.
pub fn routes() -> Routes {
    Routes::gathering("notifications", &[RungFired::SUBJECT], rungs_fired)
}

fn rungs_fired(tx: &mut PgConnection, events: Vec<Envelope>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let fired = events.into_iter().map(|event| {
            let event = event.open::<RungFired>()?;
            Ok::<_, Failure>(wire::fired(&event, event.traceparent.clone())?)
        });
        let fired: Vec<_> = fired.collect::<Result<_, _>>()?;
        Ok(operations::rung::run_many(tx, &fired).await?)
    })
}
