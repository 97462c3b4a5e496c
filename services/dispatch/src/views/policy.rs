//! Policies.

use foundation::base::{Scope, Timestamp};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::policy::Step;
use crate::error::Error;

/// A policy as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its version.
    pub version: i64,
    /// Walks the ladder without ever leaving the house.
    pub drill: bool,
    /// Milliseconds.
    pub reminder_check_after_ms: i64,
    /// Milliseconds.
    pub platform_fault_after_ms: i64,
    /// Of the answer ladder.
    pub answer: Json<Vec<Step>>,
    /// Of the handling ladder.
    pub handling: Json<Vec<Step>>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// One version; 0 is the newest that is no drill. Policies are everybody's who may ask for them.
pub async fn get(tx: &mut PgConnection, _: &Scope, version: i64) -> Result<Row, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select version, drill, reminder_check_after_ms, platform_fault_after_ms,
                  answer as "answer: Json<Vec<Step>>", handling as "handling: Json<Vec<Step>>", created_at from policy
           where version = $1 or ($1 = 0 and not drill) order by version desc limit 1"#,
        version
    );
    row.fetch_optional(tx).await?.ok_or_else(|| Error::not_found("policy", version))
}
