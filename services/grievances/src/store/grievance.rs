//! Grievances: loaded in the caller's scope and locked, saved as what has happened says.

use std::collections::BTreeSet;
use std::time::Instant;

use foundation::base::{Actor, Scope, Timestamp};
use foundation::data::{clock, column};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::grievance::{Event, Grade, Grievance, New, Recorded, Refusal, Review, Whistle};
use crate::domain::{Difficulty, GrievanceId, State};
use crate::error::Error;

/// The grievance, locked, and what Postgres's clock shows under the lock.
pub async fn load(tx: &mut PgConnection, scope: &Scope, id: GrievanceId) -> Result<(Grievance, Timestamp), Error> {
    let (found, at) = load_many(tx, scope, &[id].into()).await?;
    Ok((found.into_iter().next().ok_or_else(|| Error::not_found("grievance", id))?, at))
}

/// Of these grievances those that are there, locked in one order, and what Postgres's clock shows under all locks.
pub async fn load_many(
    tx: &mut PgConnection,
    scope: &Scope,
    ids: &BTreeSet<GrievanceId>,
) -> Result<(Vec<Grievance>, Timestamp), Error> {
    let (before, ids): (_, Vec<_>) = (Instant::now(), ids.iter().map(|id| id.0).collect());
    // The clock is read once the last row is locked, not while it is waited for.
    let rows = sqlx::query_as!(
        Row,
        r#"with locked as materialized (
               select id, state, whistle_id, whistle_blown_at, whistle_version, area, matter, owner, submitter, version
               from grievance where id = any($1)
                   and ($2 or starts_with(area, $3) or owner = $4 or submitter = $4 or matter = any($5))
               order by id for update)
           select id as "id!", state as "state!: State", whistle_id, whistle_blown_at,
                  whistle_version as "whistle_version!", area as "area!", matter, owner as "owner!",
                  submitter as "submitter!", version as "version!",
                  (select unit_ids from review where grievance_id = locked.id and stage = 'duty' order by version desc limit 1) as unit_ids,
                  (select difficulty from review where grievance_id = locked.id and stage = 'difficulty'
                   order by version desc limit 1) as "difficulty: Difficulty",
                  (select handle_due_at from review where grievance_id = locked.id and stage = 'time_limit'
                   order by version desc limit 1) as handle_due_at,
                  clock_timestamp() as "now!" from locked"#,
        &ids,
        scope.all(),
        scope.area(),
        scope.own(),
        scope.matters()
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    let Some(now) = rows.iter().map(|row| row.now).max() else { return Ok((Vec::new(), clock::now(tx).await?)) };
    Ok((rows.into_iter().map(Grievance::from).collect(), clock::believe(before, now)?))
}

struct Row {
    id: Uuid,
    state: State,
    whistle_id: Option<Uuid>,
    whistle_blown_at: Option<Timestamp>,
    whistle_version: i64,
    area: String,
    matter: Option<String>,
    owner: String,
    submitter: String,
    version: i64,
    unit_ids: Option<Vec<Uuid>>,
    difficulty: Option<Difficulty>,
    handle_due_at: Option<Timestamp>,
    now: Timestamp,
}

impl From<Row> for Grievance {
    fn from(row: Row) -> Grievance {
        let whistle = row.whistle_id.zip(row.whistle_blown_at);
        Grievance {
            id: GrievanceId(row.id),
            area: row.area,
            owner: row.owner,
            submitter: row.submitter,
            state: row.state,
            review: Review { units: row.unit_ids, difficulty: row.difficulty, handle_due_at: row.handle_due_at },
            whistle: whistle.map(|(id, blown_at)| Whistle { blown_at, id, version: row.whistle_version }),
            matter: row.matter,
            version: row.version,
        }
    }
}

/// Refuses a column or a photo that nobody knows; what Postgres's clock shows.
pub async fn begin(tx: &mut PgConnection, new: &New) -> Result<Timestamp, Error> {
    let photos: Vec<_> = new.photos.iter().map(|photo| photo.0).collect();
    let known = sqlx::query!(
        r#"select exists (select from channel where code = $1) as "channel!",
                  array(select id from photo where id = any($2)) as "photos!""#,
        new.channel,
        &photos
    );
    let known = known.fetch_one(&mut *tx).await?;
    if !known.channel {
        return Err(Error::invalid("channel", "is not one of the columns"));
    }
    if let Some(index) = photos.iter().position(|id| !known.photos.contains(id)) {
        return Err(Error::invalid(format!("photo_ids[{index}]"), "was not uploaded"));
    }
    Ok(clock::now(tx).await?)
}

/// Writes down what has happened to a grievance, or what it begins with.
pub async fn record(
    tx: &mut PgConnection,
    after: &Grievance,
    events: &[Event],
    by: &Actor,
    now: Timestamp,
) -> Result<(), Error> {
    for event in events {
        match event {
            Event::Raised(new) => add(tx, after, new, now).await?,
            Event::Recorded(recorded) => review(tx, after, recorded, now).await?,
            Event::Graded(given) => grade(tx, after, given, by, now).await?,
            Event::Reviewed(_) | Event::Progressed => {}
        }
    }
    Ok(())
}

/// Writes grievances as they are now.
pub async fn save(tx: &mut PgConnection, after: &[&Grievance], now: Timestamp) -> Result<(), Error> {
    sqlx::query!(
        "update grievance set state = after.state, whistle_id = after.whistle_id, whistle_blown_at = after.whistle_blown_at,
             whistle_version = coalesce(after.whistle_version, 0), matter = after.matter, version = after.version, updated_at = $8
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[])
             as after (id, state, whistle_id, whistle_blown_at, whistle_version, matter, version)
         where grievance.id = after.id",
        &column(after, |one| one.id.0),
        &column(after, |one| one.state.word()) as &[&str],
        &column(after, |one| one.whistle.map(|whistle| whistle.id)) as &[Option<Uuid>],
        &column(after, |one| one.whistle.map(|whistle| whistle.blown_at)) as &[Option<Timestamp>],
        &column(after, |one| one.whistle.map(|whistle| whistle.version)) as &[Option<i64>],
        &column(after, |one| one.matter.as_deref()) as &[Option<&str>],
        &column(after, |one| one.version),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn add(tx: &mut PgConnection, grievance: &Grievance, new: &New, now: Timestamp) -> Result<(), Error> {
    let (source, source_id) = new.source.clone().unzip();
    let photos: Vec<_> = new.photos.iter().map(|photo| photo.0).collect();
    let inserted = sqlx::query!(
        "insert into grievance (id, channel, text, place, area, photo_ids, source, source_id, owner, submitter, state, version,
                                created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'raised', 1, $11, $11) on conflict (source, source_id) do nothing",
        grievance.id.0,
        new.channel,
        new.text,
        new.place,
        new.area,
        &photos,
        source,
        source_id,
        grievance.owner,
        grievance.submitter,
        now
    );
    match inserted.execute(tx).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(Refusal::SourceUsed.into()),
    }
}

async fn review(tx: &mut PgConnection, of: &Grievance, recorded: &Recorded, now: Timestamp) -> sqlx::Result<()> {
    let (units, difficulty, handle_due_at) = match recorded {
        Recorded::Duty(units) => (Some(units.as_slice()), None, None),
        Recorded::Difficulty(difficulty) => (None, Some(difficulty.word()), None),
        Recorded::TimeLimit(until) => (None, None, Some(*until)),
    };
    sqlx::query!(
        "insert into review (grievance_id, stage, version, unit_ids, difficulty, handle_due_at, recorded_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        of.id.0,
        recorded.stage().word(),
        of.version,
        units,
        difficulty,
        handle_due_at,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn grade(tx: &mut PgConnection, of: &Grievance, grade: &Grade, by: &Actor, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into grade (grievance_id, version, outcome, satisfaction, remark, actor, role, graded_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        of.id.0,
        of.version,
        grade.outcome.word(),
        grade.satisfaction.word(),
        grade.remark,
        by.subject,
        by.role,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}
