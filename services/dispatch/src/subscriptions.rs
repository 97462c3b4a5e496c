//! What dispatch hears: how residents grade.

use foundation::BoxFuture;
use foundation::inbox::{Failure, Routes};
use proto::common::v1::Outcome as Wire;
use proto::events::v1::GrievanceGraded;
use sqlx::PgConnection;

use crate::domain::{Outcome, WhistleId};
use crate::operations;

/// One function per event heard.
pub fn routes() -> Routes {
    Routes::new("dispatch").on(graded)
}

fn graded(tx: &mut PgConnection, event: GrievanceGraded) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        // A grievance without a whistle was handled by the community itself.
        if event.whistle_id.is_empty() {
            return Ok(());
        }
        let whistle = event.whistle_id.parse().map(WhistleId).map_err(|_| Failure::Park("bad whistle_id".into()))?;
        let outcome = match event.outcome() {
            Wire::Solved => Outcome::Solved,
            Wire::PartlySolved => Outcome::PartlySolved,
            Wire::NotSolved => Outcome::NotSolved,
            Wire::Unspecified => return Err(Failure::Park("no outcome".into())),
        };
        Ok(operations::grade(tx, whistle, outcome).await?)
    })
}
