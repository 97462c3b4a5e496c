//! Load, decide, save, announce: one transaction per command, which the caller of these functions commits.

pub mod blow;
pub mod directory;
pub mod ladder;

use foundation::auth::{Belongs, Caller};
use foundation::clock::{self, Timestamp};
use foundation::outbox;
use proto::dispatch::v1 as wire;
use sqlx::PgConnection;

use crate::domain::policy::Policy;
use crate::domain::whistle::{Command, Event, decide};
use crate::domain::{AssignmentId, LadderId, Outcome, WhistleId};
use crate::error::Error;
use crate::store::{self, Loaded};
use crate::{announcements, views};

/// The unit answers, naming who is responsible.
pub async fn answer(
    tx: &mut PgConnection,
    caller: &Caller,
    id: AssignmentId,
    responsible: &str,
) -> Result<wire::Assignment, Error> {
    let command = Command::Answer { assignment: id, ladder: LadderId(foundation::id::new()) };
    on_share(tx, caller, id, command).await?;
    sqlx::query!("update assignment set responsible_person = $2 where id = $1", id.0, responsible)
        .execute(&mut *tx)
        .await?;
    views::assignment(tx, id).await
}

/// The unit hands in its result with evidence.
pub async fn submit(
    tx: &mut PgConnection,
    caller: &Caller,
    id: AssignmentId,
    result: &str,
    evidence: &serde_json::Value,
) -> Result<wire::Assignment, Error> {
    on_share(tx, caller, id, Command::Submit { assignment: id }).await?;
    sqlx::query!("update assignment set result = $2, evidence = $3 where id = $1", id.0, result, evidence)
        .execute(&mut *tx)
        .await?;
    views::assignment(tx, id).await
}

/// The street confirms a share; the last one closes the whistle.
pub async fn confirm(tx: &mut PgConnection, caller: &Caller, id: AssignmentId) -> Result<wire::Assignment, Error> {
    on_share(tx, caller, id, Command::Confirm { assignment: id }).await?;
    views::assignment(tx, id).await
}

/// The centre annuls a card with a reason.
pub async fn annul_card(
    tx: &mut PgConnection,
    caller: &Caller,
    id: AssignmentId,
    (ladder, rung): (LadderId, i32),
    reason: &str,
) -> Result<wire::Assignment, Error> {
    let command = Command::AnnulCard { assignment: id, ladder, rung, reason: reason.into() };
    on_share(tx, caller, id, command).await?;
    views::assignment(tx, id).await
}

/// The street takes a whistle back with a reason.
pub async fn withdraw(
    tx: &mut PgConnection,
    caller: &Caller,
    id: WhistleId,
    reason: &str,
) -> Result<wire::Whistle, Error> {
    let loaded = store::load(tx, id).await?;
    let units: Vec<_> = loaded.whistle.assignments.iter().map(|share| share.unit.0).collect();
    if !caller.may(Belongs { area: Some(&loaded.area), units: &units, ..Belongs::default() }) {
        return Err(Error::not_found("whistle", id));
    }
    run(tx, loaded, Command::Withdraw).await?;
    sqlx::query!("update whistle set withdraw_reason = $2 where id = $1", id.0, reason).execute(&mut *tx).await?;
    views::whistle(tx, id).await
}

/// The resident has graded: recorded on the shares handed in; not solved goes back to the units.
pub async fn grade(tx: &mut PgConnection, id: WhistleId, outcome: Outcome) -> Result<(), Error> {
    let loaded = store::load(tx, id).await?;
    let ladders = loaded.whistle.assignments.iter().map(|_| LadderId(foundation::id::new())).collect();
    run(tx, loaded, Command::Grade { outcome, ladders }).await
}

async fn on_share(tx: &mut PgConnection, caller: &Caller, id: AssignmentId, command: Command) -> Result<(), Error> {
    let loaded = store::load_of(tx, id).await?;
    let units: Vec<_> =
        loaded.whistle.assignments.iter().filter(|share| share.id == id).map(|share| share.unit.0).collect();
    if !caller.may(Belongs { area: Some(&loaded.area), units: &units, ..Belongs::default() }) {
        return Err(Error::not_found("assignment", id));
    }
    run(tx, loaded, command).await
}

async fn run(tx: &mut PgConnection, loaded: Loaded, command: Command) -> Result<(), Error> {
    let policy = pinned(tx, loaded.policy).await?;
    let now = clock::now(tx).await?;
    let (after, events) = decide(&loaded.whistle, command, now, &policy)?;
    let saved = store::save(tx, &loaded, &after, &events, now, &policy).await?;
    announce(tx, &saved, &events, now, &policy).await
}

async fn announce(
    tx: &mut PgConnection,
    at: &Loaded,
    events: &[Event],
    now: Timestamp,
    policy: &Policy,
) -> Result<(), Error> {
    let facts = events.iter().filter_map(|event| announcements::of(event, at, now, policy));
    Ok(outbox::announce(tx, facts.collect()).await?)
}

/// The policy that a whistle keeps.
async fn pinned(tx: &mut PgConnection, version: i64) -> Result<Policy, Error> {
    store::policy::policy(tx, version).await?.ok_or_else(|| Error::not_found("policy", version))
}
