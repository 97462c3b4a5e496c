//! What oversight does: notes, cases, corrections; pushing is a step of its own.

pub mod pushing;

use foundation::clock::Timestamp;
use foundation::db::Db;
use foundation::rpc::client::Peer;
use foundation::{id, telemetry};
use proto::oversight::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::State;
use crate::domain::texts::{self, Card};
use crate::error::Error;
use crate::platform::Platform;
use crate::store::{self, Entry};
use crate::views;

/// What the operations work with.
#[derive(Clone)]
pub struct Operations {
    /// The database.
    pub db: Db,
    /// The dispatch service.
    pub dispatch: Peer,
    /// The way to 阳光+.
    pub platform: Platform,
}

/// A case to be opened.
#[derive(Debug, Clone)]
pub struct NewCase {
    /// The effect's name.
    pub id: Uuid,
    /// The whistle.
    pub whistle: Uuid,
    /// The unit's share.
    pub assignment: Uuid,
    /// The ladder.
    pub ladder: Uuid,
    /// The unit.
    pub unit: Uuid,
    /// The rung's due time.
    pub due_at: Timestamp,
    /// Milliseconds.
    pub platform_fault_after_ms: i64,
    /// Never leaves the house.
    pub drill: bool,
}

/// Writes lines of timelines, each once.
pub async fn note(tx: &mut PgConnection, entries: &[Entry]) -> Result<(), Error> {
    Ok(store::note(tx, entries).await?)
}

/// Opens a case, once.
pub async fn open_case(tx: &mut PgConnection, case: &NewCase) -> Result<(), Error> {
    let state = if case.drill { State::Drill } else { State::Pending };
    store::in_turn(tx, case.assignment).await?;
    sqlx::query!(
        "insert into case_file (id, list_id, whistle_id, assignment_id, ladder_id, unit_id, due_at,
                                platform_fault_after_ms, state, traceparent)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (id) do nothing",
        case.id,
        id::new(),
        case.whistle,
        case.assignment,
        case.ladder,
        case.unit,
        case.due_at,
        case.platform_fault_after_ms,
        state.word(),
        telemetry::traceparent()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A card of the assignment was annulled: a case that went out, or may be going out, gets a correction.
pub async fn correct(tx: &mut PgConnection, assignment: Uuid, card: Card, name: &str) -> Result<(), Error> {
    store::in_turn(tx, assignment).await?;
    // All of them are locked, sent or not: whoever is about to send one waits, or has marked it as sent.
    let cases = sqlx::query!(
        "select id, first_sent_at from case_file where assignment_id = $1 and state <> 'drill' for update",
        assignment
    );
    for case in cases.fetch_all(&mut *tx).await?.into_iter().filter(|case| case.first_sent_at.is_some()) {
        let case = case.id;
        sqlx::query!(
            "insert into correction (id, case_id, text) values ($1, $2, $3) on conflict (id) do nothing",
            id::named(case, &["correction", name]),
            case,
            texts::correction(card)
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The centre lets a held case go.
pub async fn release(tx: &mut PgConnection, id: Uuid) -> Result<wire::Case, Error> {
    let state = sqlx::query_scalar!("select state from case_file where id = $1 for update", id);
    let state = state.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::NotFound(format!("case {id}")))?;
    match State::of(&state).map_err(sqlx::Error::from)? {
        State::Held => {}
        other @ (State::Pending | State::Pushed | State::Drill) => return Err(Error::NotHeld(other.word())),
    }
    sqlx::query!(
        "update case_file set state = 'pending', released = true, attempt_at = clock_timestamp() where id = $1",
        id
    )
    .execute(&mut *tx)
    .await?;
    views::case(tx, id).await
}
