//! Grievances: loaded in the caller's scope and locked, saved as what has happened says.

use std::time::Instant;

use foundation::base::{Actor, Scope, Timestamp};
use foundation::data::clock;
use sqlx::PgConnection;

use crate::domain::grievance::{Event, Grade, Grievance, New, Recorded, Refusal, Review, Whistle};
use crate::domain::{Difficulty, GrievanceId, State};
use crate::error::Error;

/// The grievance, locked, and what Postgres's clock shows under the lock.
pub async fn load(tx: &mut PgConnection, scope: &Scope, id: GrievanceId) -> Result<(Grievance, Timestamp), Error> {
    let before = Instant::now();
    // The clock is read once the row is locked, not while it is waited for.
    let row = sqlx::query!(
        r#"with locked as materialized (
               select state, whistle_id, whistle_blown_at, whistle_version, area, matter, owner, submitter, version
               from grievance where id = $1
                   and ($2 or starts_with(area, $3) or owner = $4 or submitter = $4 or matter = any($5)) for update)
           select state as "state!: State", whistle_id, whistle_blown_at, whistle_version as "whistle_version!",
                  area as "area!", matter, owner as "owner!", submitter as "submitter!", version as "version!",
                  (select unit_ids from review where grievance_id = $1 and stage = 'duty' order by version desc limit 1) as unit_ids,
                  (select difficulty from review where grievance_id = $1 and stage = 'difficulty'
                   order by version desc limit 1) as "difficulty: Difficulty",
                  (select handle_due_at from review where grievance_id = $1 and stage = 'time_limit'
                   order by version desc limit 1) as handle_due_at,
                  clock_timestamp() as "now!" from locked"#,
        id.0,
        scope.all(),
        scope.area(),
        scope.own(),
        scope.matters()
    );
    let row = row.fetch_optional(tx).await?.ok_or_else(|| Error::not_found("grievance", id))?;
    let whistle = row.whistle_id.zip(row.whistle_blown_at);
    let grievance = Grievance {
        id,
        area: row.area,
        owner: row.owner,
        submitter: row.submitter,
        state: row.state,
        review: Review { units: row.unit_ids, difficulty: row.difficulty, handle_due_at: row.handle_due_at },
        whistle: whistle.map(|(id, blown_at)| Whistle { blown_at, id, version: row.whistle_version }),
        matter: row.matter,
        version: row.version,
    };
    Ok((grievance, clock::believe(before, row.now)?))
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

/// Writes what has happened to a grievance, or what it begins with.
pub async fn save(
    tx: &mut PgConnection,
    after: &Grievance,
    events: &[Event],
    by: &Actor,
    now: Timestamp,
) -> Result<(), Error> {
    for event in events {
        match event {
            Event::Raised(new) => return add(tx, after, new, now).await,
            Event::Recorded(recorded) => review(tx, after, recorded, now).await?,
            Event::Graded(given) => grade(tx, after, given, by, now).await?,
            Event::Reviewed(_) | Event::Progressed => {}
        }
    }
    sqlx::query!(
        "update grievance set state = $2, whistle_id = $3, whistle_blown_at = $4, whistle_version = coalesce($5::bigint, 0),
             matter = $6, version = $7, updated_at = $8
         where id = $1",
        after.id.0,
        after.state.word(),
        after.whistle.map(|whistle| whistle.id),
        after.whistle.map(|whistle| whistle.blown_at),
        after.whistle.map(|whistle| whistle.version),
        after.matter,
        after.version,
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
