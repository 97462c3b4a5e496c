//! SQL that decides. `load` locks the row, so nobody moves between deciding and saving.

use std::time::Instant;

use foundation::clock::{self, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::photo::Photo;
use crate::domain::{Difficulty, Grievance, Outcome, Satisfaction, State, Whistle};
use crate::error::Error;

/// A grievance to be raised.
#[derive(Debug, Clone)]
pub struct New {
    /// The column it comes by.
    pub channel: String,
    /// What it is about.
    pub text: String,
    /// Where.
    pub place: String,
    /// Smallest known area.
    pub area: String,
    /// Uploaded before.
    pub photo_ids: Vec<Uuid>,
    /// The outside system and its number there.
    pub source: Option<(String, String)>,
    /// Whose matter it is.
    pub owner: String,
    /// Who hands it in.
    pub submitter: String,
}

/// How the resident grades.
#[derive(Debug, Clone)]
pub struct Grade {
    /// Solved or not.
    pub outcome: Outcome,
    /// Satisfied or not.
    pub satisfaction: Satisfaction,
    /// What the resident adds.
    pub remark: String,
}

/// A grievance with what its announcements and its callers' rights need.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its id.
    pub id: Uuid,
    /// What decisions need.
    pub grievance: Grievance,
    /// Its area.
    pub area: String,
    /// Whose matter it is.
    pub owner: String,
    /// Who handed it in.
    pub submitter: String,
    /// Grows with every change.
    pub version: i64,
    /// What Postgres's clock said when it was locked.
    pub now: Timestamp,
}

/// Writes a photo's row, once.
pub async fn add_photo(tx: &mut PgConnection, id: Uuid, owner: &str, photo: &Photo) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into photo (id, owner, width, height, size_bytes) values ($1, $2, $3, $4, $5) on conflict do nothing",
        id,
        owner,
        photo.width.cast_signed(),
        photo.height.cast_signed(),
        i64::try_from(photo.bytes.len()).unwrap_or(i64::MAX)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes a new grievance.
pub async fn add(tx: &mut PgConnection, id: Uuid, new: &New, now: Timestamp) -> Result<(), Error> {
    check_names(tx, new).await?;
    let (source, source_id) = new.source.clone().unzip();
    let inserted = sqlx::query!(
        "insert into grievance (id, channel, text, place, area, photo_ids, source, source_id, owner, submitter, state,
                                created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'raised', $11, $11) on conflict (source, source_id) do nothing",
        id,
        new.channel,
        new.text,
        new.place,
        new.area,
        &new.photo_ids,
        source,
        source_id,
        new.owner,
        new.submitter,
        now
    );
    match inserted.execute(&mut *tx).await?.rows_affected() {
        1 => Ok(step(tx, id, 1, State::Raised, now).await?),
        _ => Err(Error::Duplicate(source_id.unwrap_or_default())),
    }
}

async fn check_names(tx: &mut PgConnection, new: &New) -> Result<(), Error> {
    let known = sqlx::query_scalar!(r#"select exists (select from channel where code = $1) as "known!""#, new.channel);
    if !known.fetch_one(&mut *tx).await? {
        return Err(Error::Invalid { field: "channel".into(), description: "is not one of the columns" });
    }
    let found = sqlx::query_scalar!("select id from photo where id = any($1)", &new.photo_ids).fetch_all(tx).await?;
    match new.photo_ids.iter().position(|id| !found.contains(id)) {
        Some(index) => Err(Error::Invalid { field: format!("photo_ids[{index}]"), description: "was not uploaded" }),
        None => Ok(()),
    }
}

/// The grievance, locked.
pub async fn load(tx: &mut PgConnection, id: Uuid) -> Result<Loaded, Error> {
    let before = Instant::now();
    // The clock is read once the row is locked, not while it is waited for.
    let row = sqlx::query!(
        r#"with locked as materialized (select * from grievance where id = $1 for update)
           select state as "state!", unit_ids, difficulty, handle_by, whistle_id, whistle_blown_at,
                  whistle_version as "whistle_version!", area as "area!", owner as "owner!", submitter as "submitter!",
                  version as "version!", clock_timestamp() as "now!" from locked"#,
        id
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| Error::NotFound(format!("grievance {id}")))?;
    let grievance = Grievance {
        state: State::of(&row.state).map_err(sqlx::Error::from)?,
        units: row.unit_ids,
        difficulty: row.difficulty.as_deref().map(Difficulty::of).transpose().map_err(sqlx::Error::from)?,
        handle_by: row.handle_by,
        whistle: row.whistle_id.zip(row.whistle_blown_at).map(|(id, blown_at)| Whistle {
            blown_at,
            id,
            version: row.whistle_version,
        }),
    };
    let (area, owner, submitter, version) = (row.area, row.owner, row.submitter, row.version);
    Ok(Loaded { id, grievance, area, owner, submitter, version, now: clock::said(before, row.now)? })
}

/// Writes what a grievance has become, as its next version; a changed state is a step.
pub async fn save(tx: &mut PgConnection, before: &Loaded, after: &Grievance) -> sqlx::Result<Loaded> {
    let version = before.version + 1;
    sqlx::query!(
        "with changed as (
             update grievance set state = $2, unit_ids = $3, difficulty = $4, handle_by = $5, whistle_id = $6,
                 whistle_version = coalesce($7::bigint, 0), version = $8, updated_at = $9, whistle_blown_at = $10
             where id = $1)
         insert into step (grievance_id, version, state, at) select $1, $8, $2, $9 where $11",
        before.id,
        after.state.word(),
        after.units.as_deref(),
        after.difficulty.map(Difficulty::word),
        after.handle_by,
        after.whistle.map(|whistle| whistle.id),
        after.whistle.map(|whistle| whistle.version),
        version,
        before.now,
        after.whistle.map(|whistle| whistle.blown_at),
        after.state != before.grievance.state
    )
    .execute(&mut *tx)
    .await?;
    Ok(Loaded { grievance: after.clone(), version, ..before.clone() })
}

/// Writes the resident's grade.
pub async fn grade(tx: &mut PgConnection, id: Uuid, grade: &Grade) -> sqlx::Result<()> {
    sqlx::query!(
        "update grievance set outcome = $2, satisfaction = $3, remark = $4 where id = $1",
        id,
        grade.outcome.word(),
        grade.satisfaction.word(),
        grade.remark
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn step(tx: &mut PgConnection, id: Uuid, version: i64, state: State, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into step (grievance_id, version, state, at) values ($1, $2, $3, $4)",
        id,
        version,
        state.word(),
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}
