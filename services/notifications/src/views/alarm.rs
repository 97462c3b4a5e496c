//! Alarms.

use foundation::base::{Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::AlarmReason;

/// An alarm as the desk sees one.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// Its place in the list.
    pub list_id: Uuid,
    /// Why.
    pub reason: AlarmReason,
    /// The assignment.
    pub assignment_id: Uuid,
    /// For the person at the desk.
    pub text: String,
    /// When it was raised.
    pub created_at: Timestamp,
}

/// Newest first.
pub async fn list(tx: &mut PgConnection, scope: &Scope, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id, list_id, reason as "reason: AlarmReason", assignment_id, text, created_at
           from alarm where $1 and list_id < $2 order by list_id desc limit $3"#,
        scope.all(),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}
