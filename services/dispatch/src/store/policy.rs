//! Policies: added, never changed.

use chrono::TimeDelta;
use foundation::base::Timestamp;
use foundation::data::Db;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::policy::{Policy, Step};

/// A policy as it is stored.
pub struct Row {
    pub(super) version: i64,
    pub(super) drill: bool,
    pub(super) reminder_check_after_ms: i64,
    pub(super) platform_fault_after_ms: i64,
    pub(super) answer: Json<Vec<Step>>,
    pub(super) handling: Json<Vec<Step>>,
}

impl From<Row> for Policy {
    fn from(row: Row) -> Policy {
        Policy {
            version: row.version,
            drill: row.drill,
            reminder_check_after: TimeDelta::milliseconds(row.reminder_check_after_ms),
            platform_fault_after: TimeDelta::milliseconds(row.platform_fault_after_ms),
            answer: row.answer.0,
            handling: row.handling.0,
        }
    }
}

/// One version; 0 is the newest that is no drill.
pub async fn get(tx: &mut PgConnection, version: i64) -> sqlx::Result<Option<Policy>> {
    let row = sqlx::query_as!(
        Row,
        r#"select version, drill, reminder_check_after_ms, platform_fault_after_ms,
                  answer as "answer: Json<Vec<Step>>", handling as "handling: Json<Vec<Step>>" from policy
           where version = $1 or ($1 = 0 and not drill) order by version desc limit 1"#,
        version
    );
    Ok(row.fetch_optional(tx).await?.map(Policy::from))
}

/// Adds a version; the policy's own number is ignored. Returns the new one, and when it was added.
pub async fn add(tx: &mut PgConnection, policy: &Policy) -> sqlx::Result<(i64, Timestamp)> {
    let added = sqlx::query!(
        "insert into policy (drill, reminder_check_after_ms, platform_fault_after_ms, answer, handling)
         values ($1, $2, $3, $4, $5) returning version, created_at",
        policy.drill,
        policy.reminder_check_after.num_milliseconds(),
        policy.platform_fault_after.num_milliseconds(),
        Json(&policy.answer) as _,
        Json(&policy.handling) as _
    );
    let added = added.fetch_one(tx).await?;
    Ok((added.version, added.created_at))
}

/// Refuses a Postgres without a synchronous standby, unless that is asked for by name: what the ladder has acknowledged must
/// survive the loss of a server.
pub async fn require_standby(db: &Db, without: bool) -> anyhow::Result<()> {
    let asked = |db: Db| async move {
        let names = sqlx::query_scalar!(r#"select current_setting('synchronous_standby_names') as "names!""#);
        names.fetch_one(&db.work()).await
    };
    let names = db.insist(asked).await?;
    anyhow::ensure!(
        without || !names.is_empty(),
        "Postgres has no synchronous standby (synchronous_standby_names is empty): add one, or say --without-standby"
    );
    Ok(())
}
