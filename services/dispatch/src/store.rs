//! SQL that decides. `load` locks whistle, assignments by id, ladders and rungs, in this order, so nobody moves between
//! deciding and saving; the ladder loop, which knows no whistle, locks assignments only.

pub mod blow;
pub mod directory;
pub mod due;
pub mod policy;

use std::collections::BTreeMap;
use std::time::Instant;

use foundation::clock::{self, Timestamp};
use foundation::db::Db;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::ladder::{Effect, Fired, Kind, Ladder, Rung};
use crate::domain::policy::Policy;
use crate::domain::whistle::{Assignment, Event, Share, State, Whistle};
use crate::domain::{AssignmentId, Card, GrievanceId, LadderId, Outcome, Role, UnitId, WhistleId};
use crate::error::Error;

/// A whistle with what its announcements and its callers' rights need.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What decisions need.
    pub whistle: Whistle,
    /// Of the grievances service.
    pub grievance: GrievanceId,
    /// Its area.
    pub area: String,
    /// Its matter.
    pub matter: String,
    /// Its policy.
    pub policy: Policy,
    /// Grows with every change.
    pub version: i64,
    /// What Postgres's clock said when all of it was locked.
    pub now: Timestamp,
}

/// Refuses a Postgres without a synchronous standby, unless that is asked for by name: what the ladder has acknowledged must
/// survive the loss of a server.
pub async fn require_standby(db: &Db, without: bool) -> anyhow::Result<()> {
    let names = sqlx::query_scalar!(r#"select current_setting('synchronous_standby_names') as "names!""#);
    let names = names.fetch_one(&db.work()).await?;
    anyhow::ensure!(
        without || !names.is_empty(),
        "Postgres has no synchronous standby (synchronous_standby_names is empty): add one, or say --without-standby"
    );
    Ok(())
}

/// The whistle, locked.
pub async fn load(tx: &mut PgConnection, id: WhistleId) -> Result<Loaded, Error> {
    load_row(tx, id.0, None).await?.ok_or_else(|| Error::not_found("whistle", id))
}

/// The whistle that an assignment belongs to, locked.
pub async fn load_of(tx: &mut PgConnection, assignment: AssignmentId) -> Result<Loaded, Error> {
    load_row(tx, Uuid::nil(), Some(assignment.0)).await?.ok_or_else(|| Error::not_found("assignment", assignment))
}

async fn load_row(tx: &mut PgConnection, id: Uuid, of: Option<Uuid>) -> Result<Option<Loaded>, Error> {
    let row = sqlx::query!(
        "select w.id, w.grievance_id, w.area, w.matter, w.state, w.handle_by, w.blown_at, w.version, w.policy_version,
                p.drill, p.reminder_check_after_ms, p.platform_fault_after_ms, p.answer, p.handling
         from whistle w join policy p on p.version = w.policy_version
         where w.id = coalesce((select whistle_id from assignment where id = $2), $1) for update of w",
        id,
        of
    );
    let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok(None) };
    let (id, state) = (WhistleId(row.id), State::of(&row.state).map_err(sqlx::Error::from)?);
    let (assignments, now) = assignments(tx, id).await?;
    let whistle = Whistle { id, state, handle_by: row.handle_by, blown_at: row.blown_at, assignments };
    let policy = policy::read(policy::Row {
        version: row.policy_version,
        drill: row.drill,
        reminder_check_after_ms: row.reminder_check_after_ms,
        platform_fault_after_ms: row.platform_fault_after_ms,
        answer: row.answer,
        handling: row.handling,
    })?;
    let (grievance, area, matter) = (GrievanceId(row.grievance_id), row.area, row.matter);
    Ok(Some(Loaded { whistle, grievance, area, matter, policy, version: row.version, now }))
}

async fn assignments(tx: &mut PgConnection, whistle: WhistleId) -> Result<(Vec<Assignment>, Timestamp), Error> {
    let rows = sqlx::query!(
        "select id, unit_id, role, state from assignment where whistle_id = $1 order by id for update",
        whistle.0
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| AssignmentId(row.id)).collect();
    let (mut ladders, now) = ladders_now(tx, &ids).await?;
    let read = rows.into_iter().map(|row| {
        let id = AssignmentId(row.id);
        Ok(Assignment {
            id,
            unit: UnitId(row.unit_id),
            role: Role::of(&row.role).map_err(sqlx::Error::from)?,
            state: Share::of(&row.state).map_err(sqlx::Error::from)?,
            ladders: ladders.remove(&id).unwrap_or_default(),
        })
    });
    Ok((read.collect::<Result<_, Error>>()?, now))
}

/// The ladders of these assignments, oldest first, with their rungs. The assignments' locks guard them. Their order is that of
/// the loop (`answer` sorts before `handling`), not of their ids, which hosts' clocks draw.
pub async fn ladders(tx: &mut PgConnection, of: &[AssignmentId]) -> Result<BTreeMap<AssignmentId, Vec<Ladder>>, Error> {
    Ok(ladders_read(tx, of).await?.0)
}

/// The same, with what Postgres's clock says under those locks.
pub async fn ladders_now(
    tx: &mut PgConnection,
    of: &[AssignmentId],
) -> Result<(BTreeMap<AssignmentId, Vec<Ladder>>, Timestamp), Error> {
    let before = Instant::now();
    let (ladders, said) = ladders_read(tx, of).await?;
    let now = match said {
        Some(said) => clock::said(before, said)?,
        None => clock::now(tx).await?,
    };
    Ok((ladders, now))
}

async fn ladders_read(
    tx: &mut PgConnection,
    of: &[AssignmentId],
) -> Result<(BTreeMap<AssignmentId, Vec<Ladder>>, Option<Timestamp>), Error> {
    let ids: Vec<_> = of.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select l.assignment_id, l.id, l.kind, l.generation, l.started_at, l.stopped_at,
                  r.number as "number?", r.due_at as "due_at?", r.fired_at as "fired_at?",
                  r.platform_fault as "platform_fault?", r.card as "card?", r.annul_reason as "annul_reason?",
                  clock_timestamp() as "now!"
           from ladder l left join rung r on r.ladder_id = l.id
           where l.assignment_id = any($1) order by l.assignment_id, l.kind, l.generation, r.number"#,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let said = rows.first().map(|row| row.now);
    let mut ladders: BTreeMap<AssignmentId, Vec<Ladder>> = BTreeMap::new();
    for row in rows {
        let own = ladders.entry(AssignmentId(row.assignment_id)).or_default();
        if own.last().is_none_or(|last| last.id.0 != row.id) {
            own.push(Ladder {
                id: LadderId(row.id),
                kind: Kind::of(&row.kind).map_err(sqlx::Error::from)?,
                generation: row.generation,
                started_at: row.started_at,
                stopped_at: row.stopped_at,
                rungs: Vec::new(),
            });
        }
        if let (Some(number), Some(due_at), Some(ladder)) = (row.number, row.due_at, own.last_mut()) {
            let card = row.card.as_deref().map(Card::of).transpose().map_err(sqlx::Error::from)?;
            let (fired_at, platform_fault) = (row.fired_at, row.platform_fault.unwrap_or_default());
            let annul_reason = row.annul_reason;
            ladder.rungs.push(Rung { number, due_at, fired_at, platform_fault, card, annul_reason });
        }
    }
    Ok((ladders, said))
}

/// Writes what has happened: ladders and rungs, every share that has changed, the whistle's new version.
pub async fn save(
    tx: &mut PgConnection,
    before: &Loaded,
    after: &Whistle,
    events: &[Event],
    now: Timestamp,
) -> Result<Loaded, Error> {
    let fired: Vec<_> = events.iter().filter_map(fired_of).collect();
    fire(tx, &fired, &[], &before.policy).await?;
    for event in events {
        apply(tx, event, &before.policy, now).await?;
    }
    for (was, share) in before.whistle.assignments.iter().zip(&after.assignments) {
        let step = Step::of(share.id, events);
        if was != share || step != Step::default() {
            save_share(tx, share, step, now).await?;
        }
    }
    let version = before.version + 1;
    sqlx::query!("update whistle set state = $2, version = $3 where id = $1", after.id.0, after.state.word(), version)
        .execute(tx)
        .await?;
    Ok(Loaded { whistle: after.clone(), version, ..before.clone() })
}

async fn apply(tx: &mut PgConnection, event: &Event, policy: &Policy, now: Timestamp) -> sqlx::Result<()> {
    match event {
        Event::Started(assignment, ladder) => start(tx, &[(*assignment, ladder)], &[], policy).await?,
        Event::Stopped(_, ladder) => {
            sqlx::query!("update ladder set stopped_at = $2 where id = $1", ladder.0, now).execute(tx).await?;
        }
        Event::CardAnnulled(_, ladder, rung, _, reason) => {
            sqlx::query!(
                "update rung set annul_reason = $3 where ladder_id = $1 and number = $2",
                ladder.0,
                rung,
                reason
            )
            .execute(tx)
            .await?;
        }
        // Rungs are written before, the steps of a share with the share.
        Event::Fired(..)
        | Event::Answered(_)
        | Event::Submitted(_)
        | Event::Graded(..)
        | Event::Closed(_)
        | Event::Returned(..)
        | Event::WhistleClosed
        | Event::WhistleWithdrawn => {}
    }
    Ok(())
}

/// What has happened to a share that it keeps the time, or the word, of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Step {
    answered: bool,
    submitted: bool,
    closed: bool,
    outcome: Option<Outcome>,
}

impl Step {
    fn of(share: AssignmentId, events: &[Event]) -> Step {
        let outcome = events.iter().find_map(|event| match event {
            Event::Graded(id, outcome) if *id == share => Some(*outcome),
            _ => None,
        });
        Step {
            answered: events.contains(&Event::Answered(share)),
            submitted: events.contains(&Event::Submitted(share)),
            closed: events.contains(&Event::Closed(share)),
            outcome,
        }
    }
}

async fn save_share(tx: &mut PgConnection, share: &Assignment, step: Step, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update assignment set state = $2, next_due_at = $3, outcome = coalesce($4, outcome),
             answered_at = case when $5 then $8 else answered_at end,
             submitted_at = case when $6 then $8 else submitted_at end,
             closed_at = case when $7 then $8 else closed_at end
         where id = $1",
        share.id.0,
        share.state.word(),
        share.next_due(),
        step.outcome.map(Outcome::word),
        step.answered,
        step.submitted,
        step.closed,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes ladders that start, with their rungs as they are, and what those ask for that have fired already: all of these are given.
pub async fn start(
    tx: &mut PgConnection,
    ladders: &[(AssignmentId, &Ladder)],
    fired: &[(AssignmentId, &Fired)],
    policy: &Policy,
) -> sqlx::Result<()> {
    let rungs: Vec<_> = ladders.iter().flat_map(|(_, own)| own.rungs.iter().map(|rung| (own.id.0, rung))).collect();
    sqlx::query!(
        "with started as (
             insert into ladder (id, assignment_id, kind, generation, started_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::timestamptz[])),
         asked as (insert into firing (ladder_id, rung, effects) select * from unnest($11::uuid[], $12::int[], $13::jsonb[]))
         insert into rung (ladder_id, number, due_at, fired_at, platform_fault, card)
         select * from unnest($6::uuid[], $7::int[], $8::timestamptz[], $9::timestamptz[], $14::bool[], $10::text[])",
        &column(ladders, |(_, own)| own.id.0),
        &column(ladders, |(assignment, _)| assignment.0),
        &column(ladders, |(_, own)| own.kind.word().to_owned()),
        &column(ladders, |(_, own)| own.generation),
        &column(ladders, |(_, own)| own.started_at),
        &column(&rungs, |(ladder, _)| *ladder),
        &column(&rungs, |(_, rung)| rung.number),
        &column(&rungs, |(_, rung)| rung.due_at),
        &column(&rungs, |(_, rung)| rung.fired_at) as &[Option<Timestamp>],
        &column(&rungs, |(_, rung)| rung.card.map(|card| card.word().to_owned())) as &[Option<String>],
        &column(fired, |(_, one)| one.ladder.0),
        &column(fired, |(_, one)| one.rung.number),
        &column(fired, |(assignment, one)| asked(*assignment, one, policy)) as &[Json<Vec<Asked>>],
        &column(&rungs, |(_, rung)| rung.platform_fault)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A column of what is written down.
fn column<T, V>(of: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}

/// Writes rungs that fire, once each, with what they ask for, and when these assignments are due next. A rung that fired already is an
/// error: the transaction must not commit then.
pub async fn fire(
    tx: &mut PgConnection,
    fired: &[(AssignmentId, &Fired)],
    next: &[(AssignmentId, Option<Timestamp>)],
    policy: &Policy,
) -> Result<(), Error> {
    if fired.is_empty() && next.is_empty() {
        return Ok(());
    }
    let written = sqlx::query_scalar!(
        r#"with fired as (update rung set fired_at = fired.at, platform_fault = fired.fault
               from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::bool[]) as fired (ladder_id, number, at, fault)
               where rung.ladder_id = fired.ladder_id and rung.number = fired.number and rung.fired_at is null
               returning rung.number),
           asked as (insert into firing (ladder_id, rung, effects)
               select * from unnest($1::uuid[], $2::int[], $5::jsonb[])
               where (select count(*) from fired) = cardinality($2)),
           moved as (update assignment set next_due_at = next.due_at
               from unnest($6::uuid[], $7::timestamptz[]) as next (id, due_at) where assignment.id = next.id)
           select count(*) as "count!" from fired"#,
        &column(fired, |(_, one)| one.ladder.0),
        &column(fired, |(_, one)| one.rung.number),
        &column(fired, |(_, one)| one.rung.fired_at) as &[Option<Timestamp>],
        &column(fired, |(_, one)| one.rung.platform_fault),
        &column(fired, |(assignment, one)| asked(*assignment, one, policy)) as &[Json<Vec<Asked>>],
        &column(next, |(id, _)| id.0),
        &column(next, |(_, due)| *due) as &[Option<Timestamp>]
    );
    let written = usize::try_from(written.fetch_one(tx).await?);
    if written == Ok(fired.len()) { Ok(()) } else { Err(Error::FiredAlready) }
}

/// An effect as it is kept.
#[derive(Debug, Serialize)]
struct Asked {
    id: Uuid,
    kind: &'static str,
    target: &'static str,
}

/// What a rung that fires asks for.
fn asked(assignment: AssignmentId, fired: &Fired, policy: &Policy) -> Json<Vec<Asked>> {
    let asked = |effect: Effect| Asked {
        id: effect.id,
        kind: effect.action.kind().word(),
        target: effect.action.target().word(),
    };
    Json(fired.effects(assignment, policy).into_iter().map(asked).collect())
}

fn fired_of(event: &Event) -> Option<(AssignmentId, &Fired)> {
    if let Event::Fired(id, fired) = event { Some((*id, fired)) } else { None }
}
