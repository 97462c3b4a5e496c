//! Messages of an assignment.

use foundation::base::{Scope, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{MessageState, Target};

/// Rows at most: the rungs of a ladder are few, and an assignment has few ladders.
const MOST: i64 = 500;

/// A message as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// The effect's id.
    pub id: Uuid,
    /// Its assignment.
    pub assignment_id: Uuid,
    /// Its rung.
    pub rung: i32,
    /// To whom.
    pub target: Target,
    /// When its rung was due.
    pub due_at: Timestamp,
    /// Its state.
    pub state: MessageState,
    /// When the gateway took it over.
    pub accepted_at: Option<Timestamp>,
    /// When it reached the phone.
    pub delivered_at: Option<Timestamp>,
    /// Where it went.
    pub masked_phone: Option<String>,
}

/// Of an assignment, oldest first.
pub async fn of_assignment(tx: &mut PgConnection, scope: &Scope, assignment: Uuid) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select m.id, m.assignment_id, m.rung, m.target as "target: Target", m.due_at, d.state as "state: MessageState",
                  d.accepted_at, d.delivered_at, d.answer as masked_phone
           from message m join delivery d on d.id = m.id
           where m.assignment_id = $1 and $2 order by m.due_at, m.target, m.id limit $3"#,
        assignment,
        scope.all(),
        MOST
    )
    .fetch_all(tx)
    .await
}
