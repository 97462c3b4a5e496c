//! Cases.

use chrono::TimeDelta;
use foundation::base::{Scope, Timestamp, id};
use foundation::data::clock;
use sqlx::PgConnection;
use uuid::Uuid;

use super::column;
use crate::domain::CaseState;
use crate::domain::case::Case;
use crate::error::Error;

/// Writes cases, each once.
pub async fn add(tx: &mut PgConnection, cases: &[Case]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into case_file (id, list_id, whistle_id, assignment_id, ladder_id, unit_id, due_at, platform_fault_after_ms)
         select id, list_id, whistle_id, assignment_id, ladder_id, unit_id, due_at, platform_fault_after_ms
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::timestamptz[], $8::bigint[])
             as opened (id, list_id, whistle_id, assignment_id, ladder_id, unit_id, due_at, platform_fault_after_ms)
         on conflict (id) do nothing",
        &column(cases, |one| one.id),
        &column(cases, |_| id::new()),
        &column(cases, |one| one.whistle),
        &column(cases, |one| one.assignment),
        &column(cases, |one| one.ladder),
        &column(cases, |one| one.unit),
        &column(cases, |one| one.due_at),
        &column(cases, |one| one.fault_after.num_milliseconds())
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A case, locked, and what Postgres's clock shows once it is.
pub async fn load(tx: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<(Case, Timestamp), Error> {
    let found = sqlx::query_scalar!("select id from case_file where id = $1 and $2 for update", id, scope.all());
    found.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::not_found("case", id))?;
    let case = by_ids(&mut *tx, &[id]).await?.pop().ok_or_else(|| Error::not_found("case", id))?;
    Ok((case, clock::now(tx).await?))
}

/// These.
pub async fn by_ids(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Case>> {
    let rows = sqlx::query!(
        r#"select id, whistle_id, assignment_id, ladder_id, unit_id, due_at, platform_fault_after_ms,
                  state as "state!: CaseState", version
           from case_file join lateral (
               select case delivery.state when 'held' then 'held' when 'drill' then 'drill' when 'accepted' then 'pushed'
                      else 'pending' end as state
               from delivery where delivery.id = case_file.id) own on true
           where id = any($1)"#,
        ids
    );
    let cases = rows.fetch_all(tx).await?.into_iter().map(|row| Case {
        id: row.id,
        whistle: row.whistle_id,
        assignment: row.assignment_id,
        ladder: row.ladder_id,
        unit: row.unit_id,
        due_at: row.due_at,
        fault_after: TimeDelta::milliseconds(row.platform_fault_after_ms),
        state: row.state,
        version: row.version,
    });
    Ok(cases.collect())
}

/// Saves these cases' versions.
pub async fn save(tx: &mut PgConnection, cases: &[Case]) -> sqlx::Result<()> {
    sqlx::query!(
        "update case_file set version = saved.version from unnest($1::uuid[], $2::bigint[]) as saved (id, version)
         where case_file.id = saved.id",
        &column(cases, |one| one.id),
        &column(cases, |one| one.version)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A case that went out, or may have.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The case.
    pub id: Uuid,
    /// Its assignment.
    pub assignment: Uuid,
    /// Its ladder.
    pub ladder: Uuid,
}

/// Of these assignments those that went out, or may have. All of them are locked, sent or not: whoever is about to send one waits, or has
/// put on record that it may have left.
pub async fn left(tx: &mut PgConnection, assignments: &[Uuid]) -> sqlx::Result<Vec<Left>> {
    let rows = sqlx::query!(
        "select f.id, f.assignment_id, f.ladder_id, d.left_at from case_file f join delivery d on d.id = f.id
         where f.assignment_id = any($1) and d.state <> 'drill' order by f.id for update of d",
        assignments
    );
    let left = rows.fetch_all(tx).await?.into_iter().filter(|row| row.left_at.is_some());
    Ok(left.map(|row| Left { id: row.id, assignment: row.assignment_id, ladder: row.ladder_id }).collect())
}
