//! What dispatch hears: how residents grade.

use foundation::BoxFuture;
use foundation::inbox::{Failure, Routes};
use proto::common::v1::Outcome as Wire;
use proto::events::v1::GrievanceGraded;
use sqlx::PgConnection;

use crate::domain::{GrievanceId, Outcome};
use crate::operations;

/// One function per event heard.
pub fn routes() -> Routes {
    Routes::new("dispatch").on(graded)
}

fn graded(tx: &mut PgConnection, event: GrievanceGraded) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let grievance =
            event.grievance_id.parse().map(GrievanceId).map_err(|_| Failure::Park("bad grievance_id".into()))?;
        let outcome = match event.outcome() {
            Wire::Solved => Outcome::Solved,
            Wire::PartlySolved => Outcome::PartlySolved,
            Wire::NotSolved => Outcome::NotSolved,
            Wire::Unspecified => return Err(Failure::Park("no outcome".into())),
        };
        Ok(operations::grade(tx, grievance, outcome).await?)
    })
}
