//! Policies: added, never changed.

use chrono::TimeDelta;
use sqlx::PgConnection;

use crate::domain::policy::{Policy, Step};
use crate::error::Error;

/// A policy as it is stored.
pub struct Row {
    pub(super) version: i64,
    pub(super) drill: bool,
    pub(super) reminder_check_after_ms: i64,
    pub(super) platform_fault_after_ms: i64,
    pub(super) answer: serde_json::Value,
    pub(super) handling: serde_json::Value,
}

pub(super) fn read(row: Row) -> Result<Policy, Error> {
    Ok(Policy {
        version: row.version,
        drill: row.drill,
        reminder_check_after: TimeDelta::milliseconds(row.reminder_check_after_ms),
        platform_fault_after: TimeDelta::milliseconds(row.platform_fault_after_ms),
        answer: serde_json::from_value(row.answer)?,
        handling: serde_json::from_value(row.handling)?,
    })
}

/// One version; 0 is the newest that is no drill.
pub async fn policy(tx: &mut PgConnection, version: i64) -> Result<Option<Policy>, Error> {
    let row = sqlx::query_as!(
        Row,
        "select version, drill, reminder_check_after_ms, platform_fault_after_ms, answer, handling from policy
         where version = $1 or ($1 = 0 and not drill) order by version desc limit 1",
        version
    );
    row.fetch_optional(tx).await?.map(read).transpose()
}

/// Adds a version; the policy's own number is ignored, the new one returned.
pub async fn add(tx: &mut PgConnection, policy: &Policy) -> Result<i64, Error> {
    let json = |steps: &[Step]| serde_json::to_value(steps);
    let version = sqlx::query_scalar!(
        "insert into policy (drill, reminder_check_after_ms, platform_fault_after_ms, answer, handling)
         values ($1, $2, $3, $4, $5) returning version",
        policy.drill,
        policy.reminder_check_after.num_milliseconds(),
        policy.platform_fault_after.num_milliseconds(),
        json(&policy.answer)?,
        json(&policy.handling)?
    );
    Ok(version.fetch_one(tx).await?)
}
