//! Call tasks.

use foundation::base::{Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{CallTaskState, Card, Target};

/// A call task as the desk sees one.
#[derive(Debug, Clone)]
pub struct Row {
    /// The effect's id.
    pub id: Uuid,
    /// Its place in the list.
    pub list_id: Uuid,
    /// Its whistle.
    pub whistle_id: Uuid,
    /// Its assignment.
    pub assignment_id: Uuid,
    /// Its rung.
    pub rung: i32,
    /// The card that it goes with.
    pub card: Option<Card>,
    /// Who calls.
    pub caller: Target,
    /// Who is called.
    pub callee: Target,
    /// Who holds that role.
    pub callee_name: Option<String>,
    /// What to dial.
    pub callee_phone: Option<String>,
    /// What to say.
    pub script: Option<String>,
    /// Its state.
    pub state: CallTaskState,
    /// When its rung was due.
    pub due_at: Timestamp,
    /// When the desk could see it.
    pub opened_at: Option<Timestamp>,
    /// Who called.
    pub caller_name: Option<String>,
    /// When.
    pub called_at: Option<Timestamp>,
    /// What was said.
    pub said: Option<String>,
}

/// Newest first; none to be made while a restore is held: some were made.
pub async fn list(
    tx: &mut PgConnection,
    scope: &Scope,
    state: Option<CallTaskState>,
    page: &Page<Uuid>,
) -> sqlx::Result<Vec<Row>> {
    if state == Some(CallTaskState::Open) {
        return open(tx, scope, page).await;
    }
    sqlx::query_as!(
        Row,
        r#"select id, list_id, whistle_id, assignment_id, rung, card as "card: Card", caller as "caller: Target",
                  callee as "callee: Target", callee_name, callee_phone, script, state as "state: CallTaskState", due_at,
                  opened_at, caller_name, called_at, said
           from call_task where $1 and state <> 'asked' and ($2::text is null or state = $2)
           and not (state = 'open' and (select held_at is not null from log_head))
           and list_id < $3 order by list_id desc limit $4"#,
        scope.all(),
        state.map(CallTaskState::word),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}

/// The desk asks for these all the time: few, by an index that holds no others.
async fn open(tx: &mut PgConnection, scope: &Scope, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id, list_id, whistle_id, assignment_id, rung, card as "card: Card", caller as "caller: Target",
                  callee as "callee: Target", callee_name, callee_phone, script, state as "state: CallTaskState", due_at,
                  opened_at, caller_name, called_at, said
           from call_task where state = 'open' and $1 and (select held_at is null from log_head)
           and list_id < $2 order by list_id desc limit $3"#,
        scope.all(),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}
