//! What oversight subscribes to: everything that belongs on a timeline, and the rung that makes a case. The 15-hour escalation is
//! just another subscriber.

use foundation::BoxFuture;
use foundation::base::Failure;
use foundation::log::{Envelope, Routes};
use sqlx::PgConnection;

use crate::operations;
use crate::wire::event as wire;

/// Everything becomes a line of a timeline; timelines are written many lines at once.
pub fn routes() -> Routes {
    Routes::gathering("oversight", &wire::SUBJECTS, happened).unhurried()
}

fn happened(tx: &mut PgConnection, events: Vec<Envelope>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let (mut lines, mut cases, mut annulled) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            let meaning = wire::meaning(&event)?;
            lines.push(meaning.line);
            cases.extend(meaning.case.map(|case| (case, event.traceparent)));
            annulled.extend(meaning.annulled);
        }
        Ok(operations::timeline::run_many(tx, &lines, &cases, &annulled).await?)
    })
}
