//! Ladders, their rungs and what those ask for; and what is due, many assignments at once, each locked, none waited for.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::TimeDelta;
use foundation::base::Timestamp;
use foundation::data::clock;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::column;
use crate::domain::command::Refusal;
use crate::domain::ladder::{Due, Fired, Ladder, Rung};
use crate::domain::policy::Policy;
use crate::domain::{AssignmentId, Card, EffectKind, GrievanceId, Kind, LadderId, Role, Target, UnitId, WhistleId};
use crate::error::Error;

/// Ladders by assignment, in order of their ordinals.
pub type Ladders = BTreeMap<AssignmentId, Vec<Ladder>>;

/// The ladders of these assignments with their rungs, and what Postgres's clock shows; the assignments' locks guard them.
pub async fn load(tx: &mut PgConnection, of: &[AssignmentId]) -> sqlx::Result<(Ladders, Timestamp)> {
    let before = Instant::now();
    let (ladders, shown) = read(tx, of).await?;
    let now = match shown {
        Some(shown) => clock::believe(before, shown)?,
        None => clock::now(tx).await?,
    };
    Ok((ladders, now))
}

/// The same without locks or the time, for whoever only looks.
pub async fn read(tx: &mut PgConnection, of: &[AssignmentId]) -> sqlx::Result<(Ladders, Option<Timestamp>)> {
    let rows = sqlx::query!(
        r#"select l.assignment_id, l.id, l.ordinal, l.kind as "kind: Kind", l.generation, l.started_at, l.stopped_at,
                  r.number as "number?", r.due_at as "due_at?", r.fired_at as "fired_at?",
                  r.platform_fault as "platform_fault?", r.card as "card?: Card", r.annul_reason as "annul_reason?",
                  clock_timestamp() as "now!"
           from ladder l left join rung r on r.ladder_id = l.id
           where l.assignment_id = any($1) order by l.assignment_id, l.ordinal, r.number"#,
        &column(of, |id| id.0)
    )
    .fetch_all(tx)
    .await?;
    let shown = rows.first().map(|row| row.now);
    let mut ladders = Ladders::new();
    for row in rows {
        let own = ladders.entry(AssignmentId(row.assignment_id)).or_default();
        if own.last().is_none_or(|last| last.id.0 != row.id) {
            own.push(Ladder {
                id: LadderId(row.id),
                ordinal: row.ordinal,
                kind: row.kind,
                generation: row.generation,
                started_at: row.started_at,
                stopped_at: row.stopped_at,
                rungs: Vec::new(),
            });
        }
        if let (Some(number), Some(due_at), Some(ladder)) = (row.number, row.due_at, own.last_mut()) {
            let (fired_at, platform_fault) = (row.fired_at, row.platform_fault.unwrap_or_default());
            let (card, annul_reason) = (row.card, row.annul_reason);
            ladder.rungs.push(Rung { number, due_at, fired_at, platform_fault, card, annul_reason });
        }
    }
    Ok((ladders, shown))
}

/// A rung that fires, with what it asks for.
#[derive(Debug)]
pub struct Firing<'f> {
    /// The assignment.
    pub assignment: AssignmentId,
    /// The rung.
    pub fired: &'f Fired,
    /// The policy that it fires under.
    pub policy: &'f Policy,
}

/// An effect as it is kept.
#[derive(Debug, Serialize)]
struct Asked {
    id: Uuid,
    kind: EffectKind,
    target: Target,
}

impl Firing<'_> {
    fn asked(&self) -> Json<Vec<Asked>> {
        let effects = self.fired.effects(self.assignment, self.policy).into_iter();
        let asked = effects.map(|one| Asked { id: one.id, kind: one.action.kind(), target: one.action.target() });
        Json(asked.collect())
    }
}

/// Writes ladders that start, with their rungs as they are, and what those ask for that have fired already: all of these are given.
pub async fn start(
    tx: &mut PgConnection,
    ladders: &[(AssignmentId, &Ladder)],
    fired: &[Firing<'_>],
) -> sqlx::Result<()> {
    let rungs: Vec<_> = ladders.iter().flat_map(|(_, own)| own.rungs.iter().map(|rung| (own.id.0, rung))).collect();
    sqlx::query!(
        "with started as (
             insert into ladder (id, assignment_id, ordinal, kind, generation, started_at)
             select id, assignment_id, ordinal, kind, generation, started_at
             from unnest($1::uuid[], $2::uuid[], $15::int[], $3::text[], $4::int[], $5::timestamptz[])
                 as one (id, assignment_id, ordinal, kind, generation, started_at)),
         asked as (
             insert into firing (ladder_id, rung, effects)
             select ladder_id, rung, effects from unnest($11::uuid[], $12::int[], $13::jsonb[]) as one (ladder_id, rung, effects))
         insert into rung (ladder_id, number, due_at, fired_at, platform_fault, card)
         select ladder_id, number, due_at, fired_at, platform_fault, card
         from unnest($6::uuid[], $7::int[], $8::timestamptz[], $9::timestamptz[], $14::bool[], $10::text[])
             as one (ladder_id, number, due_at, fired_at, platform_fault, card)",
        &column(ladders, |(_, own)| own.id.0),
        &column(ladders, |(assignment, _)| assignment.0),
        &column(ladders, |(_, own)| own.kind.word()) as &[&str],
        &column(ladders, |(_, own)| own.generation),
        &column(ladders, |(_, own)| own.started_at),
        &column(&rungs, |(ladder, _)| *ladder),
        &column(&rungs, |(_, rung)| rung.number),
        &column(&rungs, |(_, rung)| rung.due_at),
        &column(&rungs, |(_, rung)| rung.fired_at) as &[Option<Timestamp>],
        &column(&rungs, |(_, rung)| rung.card.map(Card::word)) as &[Option<&str>],
        &column(fired, |one| one.fired.ladder.0),
        &column(fired, |one| one.fired.rung.number),
        &column(fired, Firing::asked) as &[Json<Vec<Asked>>],
        &column(&rungs, |(_, rung)| rung.platform_fault),
        &column(ladders, |(_, own)| own.ordinal)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes rungs that fire, once each, with what they ask for, and when these assignments are due next. A rung that fired already is an
/// error: the transaction must not commit then.
pub async fn fire(
    tx: &mut PgConnection,
    fired: &[Firing<'_>],
    next: &[(AssignmentId, Option<Timestamp>)],
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
               select ladder_id, rung, effects from unnest($1::uuid[], $2::int[], $5::jsonb[]) as one (ladder_id, rung, effects)
               where (select count(*) from fired) = cardinality($2)),
           moved as (update assignment set next_due_at = next.due_at
               from unnest($6::uuid[], $7::timestamptz[]) as next (id, due_at) where assignment.id = next.id)
           select count(*) as "count!" from fired"#,
        &column(fired, |one| one.fired.ladder.0),
        &column(fired, |one| one.fired.rung.number),
        &column(fired, |one| one.fired.rung.fired_at) as &[Option<Timestamp>],
        &column(fired, |one| one.fired.rung.platform_fault),
        &column(fired, Firing::asked) as &[Json<Vec<Asked>>],
        &column(next, |(id, _)| id.0),
        &column(next, |(_, due)| *due) as &[Option<Timestamp>]
    );
    let written = usize::try_from(written.fetch_one(tx).await?);
    if written == Ok(fired.len()) { Ok(()) } else { Err(Refusal::FiredAlready.into()) }
}

/// A ladder stops for good.
pub async fn stop(tx: &mut PgConnection, ladder: LadderId, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("update ladder set stopped_at = $2 where id = $1", ladder.0, at).execute(tx).await?;
    Ok(())
}

/// A rung's card is annulled.
pub async fn annul(tx: &mut PgConnection, ladder: LadderId, rung: i32, reason: &str) -> sqlx::Result<()> {
    sqlx::query!("update rung set annul_reason = $3 where ladder_id = $1 and number = $2", ladder.0, rung, reason)
        .execute(tx)
        .await?;
    Ok(())
}

/// Locks up to `limit` assignments with a rung due, earliest first, past those that others hold.
pub async fn take_due(tx: &mut PgConnection, limit: i64, except: &[Uuid]) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"select a.id, a.unit_id, a.role as "role: Role", a.whistle_id, w.grievance_id, w.area, w.matter, w.blown_at,
                  w.policy_version
           from assignment a join whistle w on w.id = a.whistle_id
           where a.next_due_at is not null and a.next_due_at <= (select clock_timestamp()) and a.id <> all($2)
           order by a.next_due_at, a.id limit $1 for update of a skip locked"#,
        limit,
        except
    )
    .fetch_all(tx)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        id: AssignmentId(row.id),
        unit: UnitId(row.unit_id),
        role: row.role,
        whistle: WhistleId(row.whistle_id),
        grievance: GrievanceId(row.grievance_id),
        area: row.area,
        matter: row.matter,
        blown_at: row.blown_at,
        policy_version: row.policy_version,
    });
    Ok(due.collect())
}

/// How long until the next rung is due; negative when one is overdue, none when there is none.
pub async fn until_next(tx: &mut PgConnection, except: &[Uuid]) -> sqlx::Result<Option<TimeDelta>> {
    let row = sqlx::query!(
        r#"select next_due_at as "due!", clock_timestamp() as "now!" from assignment
           where next_due_at is not null and id <> all($1) order by next_due_at, id limit 1"#,
        except
    );
    Ok(row.fetch_optional(tx).await?.map(|row| row.due - row.now))
}
