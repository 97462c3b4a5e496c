//! Load, decide, save, announce: one transaction per command, which the caller of these functions commits.

pub mod blow;
pub mod directory;
pub mod ladder;

use foundation::auth::{Belongs, Caller};
use foundation::outbox;
use proto::dispatch::v1 as wire;
use sqlx::PgConnection;

use crate::domain::policy::Policy;
use crate::domain::whistle::{Assignment, Command, Whistle, decide};
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
    let share = on_share(tx, caller, id, command).await?;
    sqlx::query!("update assignment set responsible_person = $2 where id = $1", id.0, responsible)
        .execute(&mut *tx)
        .await?;
    views::assignment(tx, &share).await
}

/// The unit hands in its result with evidence.
pub async fn submit(
    tx: &mut PgConnection,
    caller: &Caller,
    id: AssignmentId,
    result: &str,
    evidence: &serde_json::Value,
) -> Result<wire::Assignment, Error> {
    let share = on_share(tx, caller, id, Command::Submit { assignment: id }).await?;
    sqlx::query!("update assignment set result = $2, evidence = $3 where id = $1", id.0, result, evidence)
        .execute(&mut *tx)
        .await?;
    views::assignment(tx, &share).await
}

/// The street confirms a share; the last one closes the whistle.
pub async fn confirm(tx: &mut PgConnection, caller: &Caller, id: AssignmentId) -> Result<wire::Assignment, Error> {
    let share = on_share(tx, caller, id, Command::Confirm { assignment: id }).await?;
    views::assignment(tx, &share).await
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
    let share = on_share(tx, caller, id, command).await?;
    views::assignment(tx, &share).await
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
    run(tx, loaded, Command::Grade { outcome, ladders }).await.map(|_| ())
}

/// Returns the share as it is now.
async fn on_share(
    tx: &mut PgConnection,
    caller: &Caller,
    id: AssignmentId,
    command: Command,
) -> Result<Assignment, Error> {
    let loaded = store::load_of(tx, id).await?;
    let units: Vec<_> =
        loaded.whistle.assignments.iter().filter(|share| share.id == id).map(|share| share.unit.0).collect();
    if !caller.may(Belongs { area: Some(&loaded.area), units: &units, ..Belongs::default() }) {
        return Err(Error::not_found("assignment", id));
    }
    let whistle = run(tx, loaded, command).await?;
    let share = whistle.assignments.into_iter().find(|share| share.id == id);
    share.ok_or_else(|| Error::not_found("assignment", id))
}

async fn run(tx: &mut PgConnection, loaded: Loaded, command: Command) -> Result<Whistle, Error> {
    let now = loaded.now;
    let (after, events) = decide(&loaded.whistle, command, now, &loaded.policy)?;
    let saved = store::save(tx, &loaded, &after, &events, now).await?;
    let facts = events.iter().filter_map(|event| announcements::of(event, &saved, now));
    outbox::announce(tx, facts.collect()).await?;
    Ok(saved.whistle)
}

/// The policy that a whistle keeps.
async fn pinned(tx: &mut PgConnection, version: i64) -> Result<Policy, Error> {
    store::policy::policy(tx, version).await?.ok_or_else(|| Error::not_found("policy", version))
}
