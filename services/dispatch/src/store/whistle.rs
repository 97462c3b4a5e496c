//! Whistles and their assignments: loaded in the caller's scope and locked, saved as what has happened says.

use foundation::base::{Scope, Timestamp};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::ladder::{self, Firing};
use super::{column, policy};
use crate::domain::command::{Blow, Event, Evidence, Key, Refusal};
use crate::domain::policy::{Policy, Step};
use crate::domain::whistle::{Assignment, Whistle};
use crate::domain::{AssignmentId, AssignmentState, GrievanceId, Outcome, Role, UnitId, WhistleId, WhistleState};
use crate::error::Error;

struct Row {
    id: Uuid,
    grievance_id: Uuid,
    area: String,
    matter: String,
    state: WhistleState,
    handle_due_at: Timestamp,
    blown_at: Timestamp,
    version: i64,
    policy_version: i64,
    drill: bool,
    reminder_check_after_ms: i64,
    platform_fault_after_ms: i64,
    answer: Json<Vec<Step>>,
    handling: Json<Vec<Step>>,
}

/// The whistle that a command is about, locked, with its policy and what Postgres's clock shows under the locks. The scope is asked of
/// what the command names: a unit reaches its own assignment and no other of the whistle.
pub async fn load(tx: &mut PgConnection, scope: &Scope, key: Key) -> Result<(Whistle, Policy, Timestamp), Error> {
    let (whistle, assignment) = match key {
        Key::Whistle(id) => (Some(id.0), None),
        Key::Assignment(id) => (None, Some(id.0)),
    };
    let row = sqlx::query_as!(
        Row,
        r#"select w.id, w.grievance_id, w.area, w.matter, w.state as "state: WhistleState", w.handle_due_at, w.blown_at,
                  w.version, w.policy_version, p.drill, p.reminder_check_after_ms, p.platform_fault_after_ms,
                  p.answer as "answer: Json<Vec<Step>>", p.handling as "handling: Json<Vec<Step>>"
           from whistle w join policy p on p.version = w.policy_version
           where w.id = coalesce($1, (select whistle_id from assignment where id = $2))
               and ($3 or starts_with(w.area, $4) or w.matter = any($5)
                    or exists (select from assignment a where a.id = $2 and a.unit_id = $6))
           for update of w"#,
        whistle,
        assignment,
        scope.all(),
        scope.area(),
        scope.matters(),
        scope.unit()
    );
    let Some(row) = row.fetch_optional(&mut *tx).await? else { return Err(not_found(key)) };
    let (assignments, now) = assignments(tx, WhistleId(row.id), assignment).await?;
    let (whistle, policy) = row.read(assignments);
    Ok((whistle, policy, now))
}

impl Row {
    fn read(self, assignments: Vec<Assignment>) -> (Whistle, Policy) {
        let whistle = Whistle {
            id: WhistleId(self.id),
            grievance: GrievanceId(self.grievance_id),
            area: self.area,
            matter: self.matter,
            state: self.state,
            handle_due_at: self.handle_due_at,
            blown_at: self.blown_at,
            version: self.version,
            assignments,
        };
        let policy = Policy::from(policy::Row {
            version: self.policy_version,
            drill: self.drill,
            reminder_check_after_ms: self.reminder_check_after_ms,
            platform_fault_after_ms: self.platform_fault_after_ms,
            answer: self.answer,
            handling: self.handling,
        });
        (whistle, policy)
    }
}

fn not_found(key: Key) -> Error {
    match key {
        Key::Whistle(id) => Error::not_found("whistle", id),
        Key::Assignment(id) => Error::not_found("assignment", id),
    }
}

/// Every assignment of a whistle that is locked; locked is only the one that the command is about, or all of them: the others' rungs fire
/// meanwhile.
async fn assignments(
    tx: &mut PgConnection,
    whistle: WhistleId,
    about: Option<Uuid>,
) -> sqlx::Result<(Vec<Assignment>, Timestamp)> {
    let rows = sqlx::query!(
        r#"with locked as materialized (
               select id from assignment where whistle_id = $1 and ($2::uuid is null or id = $2) order by id for update)
           select id, unit_id, role as "role: Role", state as "state: AssignmentState"
           from assignment where whistle_id = $1 and (select count(*) from locked) > 0 order by id"#,
        whistle.0,
        about
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids = column(&rows, |row| AssignmentId(row.id));
    let (mut ladders, now) = ladder::load(tx, &ids).await?;
    let read = rows.into_iter().map(|row| {
        let id = AssignmentId(row.id);
        let ladders = ladders.remove(&id).unwrap_or_default();
        Assignment { id, unit: UnitId(row.unit_id), role: row.role, state: row.state, ladders }
    });
    Ok((read.collect(), now))
}

/// Writes what has happened to a whistle, or what it begins with.
pub async fn save(
    tx: &mut PgConnection,
    before: Option<&Whistle>,
    after: &Whistle,
    events: &[Event],
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Error> {
    let fired = fired(events, policy);
    let Some(before) = before else {
        let blow = events.iter().find_map(|event| if let Event::Blown(blow) = event { Some(blow) } else { None });
        add(tx, after, blow.ok_or(Refusal::Unknown)?, policy.version).await?;
        let all = &after.assignments;
        let ladders: Vec<_> = all.iter().flat_map(|one| one.ladders.iter().map(|own| (one.id, own))).collect();
        return Ok(ladder::start(tx, &ladders, &fired).await?);
    };
    ladder::fire(tx, &fired, &[]).await?;
    for event in events {
        apply(tx, event, after.version, now).await?;
    }
    for (was, is) in before.assignments.iter().zip(&after.assignments).filter(|(was, is)| was != is) {
        save_assignment(tx, is, was.state != is.state, now).await?;
    }
    let withdrawn = events.iter().find_map(|event| match event {
        Event::WhistleWithdrawn(reason) => Some(reason.as_str()),
        _ => None,
    });
    sqlx::query!(
        "update whistle set state = $2, version = $3, withdraw_reason = coalesce($4, withdraw_reason) where id = $1",
        after.id.0,
        after.state.word(),
        after.version,
        withdrawn
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn fired<'e>(events: &'e [Event], policy: &'e Policy) -> Vec<Firing<'e>> {
    let fired = events.iter().filter_map(|event| match event {
        Event::Fired(assignment, fired) => Some(Firing { assignment: *assignment, fired, policy }),
        _ => None,
    });
    fired.collect()
}

/// A new whistle with every unit's assignment; nothing when the grievance has an open one already.
async fn add(tx: &mut PgConnection, whistle: &Whistle, blow: &Blow, policy_version: i64) -> Result<(), Error> {
    let all = &whistle.assignments;
    let inserted = sqlx::query!(
        "with blown as (
             insert into whistle (id, grievance_id, area, matter, title, place, difficulty, state, blown_at, policy_version,
                                  handle_due_at, version)
             values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10, 1)
             on conflict (grievance_id, area) where state = 'open' do nothing returning id)
         insert into assignment (id, whistle_id, unit_id, role, state, next_due_at)
         select one.id, blown.id, unit_id, role, 'whistled', due_at from blown,
             unnest($11::uuid[], $12::uuid[], $13::text[], $14::timestamptz[]) as one (id, unit_id, role, due_at)",
        whistle.id.0,
        whistle.grievance.0,
        whistle.area,
        whistle.matter,
        blow.title,
        blow.place,
        blow.difficulty.word(),
        whistle.blown_at,
        policy_version,
        whistle.handle_due_at,
        &column(all, |one| one.id.0),
        &column(all, |one| one.unit.0),
        &column(all, |one| one.role.word()) as &[&str],
        &column(all, Assignment::next_due) as &[Option<Timestamp>]
    );
    match inserted.execute(tx).await?.rows_affected() {
        0 => Err(Refusal::OpenAlready(whistle.grievance).into()),
        _ => Ok(()),
    }
}

async fn apply(tx: &mut PgConnection, event: &Event, version: i64, now: Timestamp) -> sqlx::Result<()> {
    match event {
        Event::Started(assignment, ladder) => ladder::start(tx, &[(*assignment, ladder)], &[]).await,
        Event::Stopped(_, ladder) => ladder::stop(tx, *ladder, now).await,
        Event::CardAnnulled(_, ladder, rung, _, reason) => ladder::annul(tx, *ladder, *rung, reason).await,
        Event::Answered(assignment, who) => answered(tx, (*assignment, version), who, now).await,
        Event::Submitted(assignment, result, evidence) => {
            submitted(tx, (*assignment, version), result, evidence, now).await
        }
        Event::Graded(assignment, outcome) => graded(tx, (*assignment, version), *outcome, now).await,
        // Rungs are written before, states and what belongs to them with the assignment or the whistle.
        Event::Blown(_)
        | Event::Fired(..)
        | Event::Closed(_)
        | Event::Returned(..)
        | Event::WhistleClosed
        | Event::WhistleWithdrawn(_) => Ok(()),
    }
}

/// An assignment, and the whistle's version from then on.
type Of = (AssignmentId, i64);

async fn answered(tx: &mut PgConnection, (id, version): Of, who: &str, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into answer (assignment_id, version, responsible_person, answered_at) values ($1, $2, $3, $4)",
        id.0,
        version,
        who,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn submitted(
    tx: &mut PgConnection,
    (id, version): Of,
    result: &str,
    evidence: &[Evidence],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into submission (assignment_id, version, result, evidence, submitted_at) values ($1, $2, $3, $4, $5)",
        id.0,
        version,
        result,
        Json(evidence) as _,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn graded(tx: &mut PgConnection, (id, version): Of, outcome: Outcome, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into grade (assignment_id, version, outcome, graded_at) values ($1, $2, $3, $4)",
        id.0,
        version,
        outcome.word(),
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn save_assignment(
    tx: &mut PgConnection,
    assignment: &Assignment,
    moved: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update assignment set state = $2, next_due_at = $3,
             closed_at = case when $4 and $2 = 'closed' then $5 else closed_at end
         where id = $1",
        assignment.id.0,
        assignment.state.word(),
        assignment.next_due(),
        moved,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}
