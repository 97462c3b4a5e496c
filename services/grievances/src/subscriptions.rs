//! What grievances subscribes to: how far the whistle over each has come.

use foundation::BoxFuture;
use foundation::base::{Context, Failure};
use foundation::log::{Received, Routes};
use proto::events::v1::{
    AssignmentAnswered, AssignmentReturned, AssignmentSubmitted, WhistleBlown, WhistleClosed, WhistleRef,
    WhistleWithdrawn,
};
use sqlx::PgConnection;

use crate::domain::State;
use crate::operations;
use crate::wire::event as wire;

type Handled<'c> = BoxFuture<'c, Result<(), Failure>>;

/// One function an event.
pub fn routes() -> Routes {
    Routes::new("grievances")
        .unhurried()
        .on(whistle_blown)
        .on(assignment_answered)
        .on(assignment_submitted)
        .on(assignment_returned)
        .on(whistle_withdrawn)
        .on(whistle_closed)
}

fn whistle_blown(tx: &mut PgConnection, event: Received<WhistleBlown>) -> Handled<'_> {
    Box::pin(async move {
        progress(tx, event.context(), event.whistle.as_ref(), event.version, Some(&event.matter), State::Whistled).await
    })
}

fn assignment_answered(tx: &mut PgConnection, event: Received<AssignmentAnswered>) -> Handled<'_> {
    Box::pin(async move {
        progress(tx, event.context(), event.whistle.as_ref(), event.version, None, State::Handling).await
    })
}

fn assignment_submitted(tx: &mut PgConnection, event: Received<AssignmentSubmitted>) -> Handled<'_> {
    let state = if event.all_submitted { State::Submitted } else { State::Handling };
    Box::pin(async move { progress(tx, event.context(), event.whistle.as_ref(), event.version, None, state).await })
}

fn assignment_returned(tx: &mut PgConnection, event: Received<AssignmentReturned>) -> Handled<'_> {
    Box::pin(async move {
        progress(tx, event.context(), event.whistle.as_ref(), event.version, None, State::Handling).await
    })
}

fn whistle_withdrawn(tx: &mut PgConnection, event: Received<WhistleWithdrawn>) -> Handled<'_> {
    Box::pin(async move {
        progress(tx, event.context(), event.whistle.as_ref(), event.version, None, State::Reviewed).await
    })
}

fn whistle_closed(tx: &mut PgConnection, event: Received<WhistleClosed>) -> Handled<'_> {
    Box::pin(
        async move { progress(tx, event.context(), event.whistle.as_ref(), event.version, None, State::Closed).await },
    )
}

async fn progress(
    tx: &mut PgConnection,
    context: &Context,
    whistle: Option<&WhistleRef>,
    version: i64,
    matter: Option<&str>,
    state: State,
) -> Result<(), Failure> {
    match wire::progress(whistle, version, matter, state)? {
        Some(command) => Ok(operations::grievance::run(tx, context, command).await.map(drop)?),
        None => Ok(()),
    }
}
