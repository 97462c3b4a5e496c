//! What grievances hears: how far the whistle over each has come.

use foundation::BoxFuture;
use foundation::clock::{Timestamp, from_wire};
use foundation::inbox::{Failure, Routes};
use proto::events::v1::{
    AssignmentAnswered, AssignmentReturned, AssignmentSubmitted, WhistleBlown, WhistleClosed, WhistleWithdrawn,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{State, Whistle};
use crate::error::Error;
use crate::operations;

type Heard<'c> = BoxFuture<'c, Result<(), Failure>>;

/// What every fact of a whistle says of its grievance.
struct About {
    grievance: String,
    area: String,
    whistle: String,
    blown_at: Option<Timestamp>,
    version: i64,
}

macro_rules! about {
    ($event:ident) => {
        About {
            grievance: $event.grievance_id,
            area: $event.area,
            whistle: $event.whistle_id,
            blown_at: $event.blown_at.as_ref().and_then(from_wire),
            version: $event.version,
        }
    };
}

/// One function per event heard.
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

fn whistle_blown(tx: &mut PgConnection, event: WhistleBlown) -> Heard<'_> {
    hear(tx, about!(event), State::Whistled)
}

fn assignment_answered(tx: &mut PgConnection, event: AssignmentAnswered) -> Heard<'_> {
    hear(tx, about!(event), State::Handling)
}

fn assignment_submitted(tx: &mut PgConnection, event: AssignmentSubmitted) -> Heard<'_> {
    let state = if event.all_submitted { State::Submitted } else { State::Handling };
    hear(tx, about!(event), state)
}

fn assignment_returned(tx: &mut PgConnection, event: AssignmentReturned) -> Heard<'_> {
    hear(tx, about!(event), State::Handling)
}

fn whistle_withdrawn(tx: &mut PgConnection, event: WhistleWithdrawn) -> Heard<'_> {
    hear(tx, about!(event), State::Reviewed)
}

fn whistle_closed(tx: &mut PgConnection, event: WhistleClosed) -> Heard<'_> {
    hear(tx, about!(event), State::Closed)
}

fn hear(tx: &mut PgConnection, about: About, state: State) -> Heard<'_> {
    Box::pin(async move {
        let uuid = |text: &str, field| text.parse::<Uuid>().map_err(|_| Error::Unreadable(field));
        let whistle = Whistle {
            blown_at: about.blown_at.ok_or(Error::Unreadable("blown_at"))?,
            id: uuid(&about.whistle, "whistle_id")?,
            version: about.version,
        };
        let grievance = uuid(&about.grievance, "grievance_id")?;
        Ok(operations::hear(tx, grievance, &about.area, whistle, state).await?)
    })
}
