//! What grievances hears: how far the whistle over each has come.

use foundation::BoxFuture;
use foundation::inbox::{Failure, Routes};
use proto::events::v1::{
    AssignmentAnswered, AssignmentReturned, AssignmentSubmitted, WhistleBlown, WhistleClosed, WhistleWithdrawn,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::State;
use crate::error::Error;
use crate::operations;

type Heard<'c> = BoxFuture<'c, Result<(), Failure>>;

/// One function per event heard.
pub fn routes() -> Routes {
    Routes::new("grievances")
        .on(whistle_blown)
        .on(assignment_answered)
        .on(assignment_submitted)
        .on(assignment_returned)
        .on(whistle_withdrawn)
        .on(whistle_closed)
}

fn whistle_blown(tx: &mut PgConnection, event: WhistleBlown) -> Heard<'_> {
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, State::Whistled).await })
}

fn assignment_answered(tx: &mut PgConnection, event: AssignmentAnswered) -> Heard<'_> {
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, State::Handling).await })
}

fn assignment_submitted(tx: &mut PgConnection, event: AssignmentSubmitted) -> Heard<'_> {
    let state = if event.all_submitted { State::Submitted } else { State::Handling };
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, state).await })
}

fn assignment_returned(tx: &mut PgConnection, event: AssignmentReturned) -> Heard<'_> {
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, State::Handling).await })
}

fn whistle_withdrawn(tx: &mut PgConnection, event: WhistleWithdrawn) -> Heard<'_> {
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, State::Reviewed).await })
}

fn whistle_closed(tx: &mut PgConnection, event: WhistleClosed) -> Heard<'_> {
    Box::pin(async move { hear(tx, &event.grievance_id, &event.whistle_id, event.version, State::Closed).await })
}

async fn hear(
    tx: &mut PgConnection,
    grievance: &str,
    whistle: &str,
    version: i64,
    state: State,
) -> Result<(), Failure> {
    let uuid = |text: &str, field| text.parse::<Uuid>().map_err(|_| Error::Unreadable(field));
    let (grievance, whistle) = (uuid(grievance, "grievance_id")?, uuid(whistle, "whistle_id")?);
    Ok(operations::hear(tx, grievance, whistle, version, state).await?)
}
