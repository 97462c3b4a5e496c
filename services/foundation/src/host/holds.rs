//! What ops decides: whether what a restore holds back may leave, whether a clock that jumped is right, whether a consumer is waited for.
//! Each decision is a row of history.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::base::{Actor, Timestamp};
use crate::data::Page;
use crate::data::history::{self, Entry};

/// What is held, and whether the clock is doubted.
pub struct Hold {
    pub held_at: Option<Timestamp>,
    pub clock_doubted_at: Option<Timestamp>,
}

/// As it is now.
pub async fn hold(connection: &mut PgConnection) -> sqlx::Result<Hold> {
    sqlx::query_as!(Hold, "select held_at, clock_doubted_at from log_head").fetch_one(connection).await
}

/// What would leave.
pub struct Leaving {
    pub id: Uuid,
    pub kind: String,
    pub assignment_id: Uuid,
    pub target: String,
    pub due_at: Timestamp,
}

/// What would leave if the hold were released now, newest first.
pub async fn leaving(connection: &mut PgConnection, page: &Page<Uuid>) -> sqlx::Result<Vec<Leaving>> {
    sqlx::query_as!(
        Leaving,
        r#"select id as "id!", kind as "kind!", assignment_id as "assignment_id!", target as "target!", due_at as "due_at!"
           from leaving where id < $1 order by id desc limit $2"#,
        page.before(),
        page.size
    )
    .fetch_all(connection)
    .await
}

/// How many would.
pub async fn count(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from leaving"#).fetch_one(connection).await
}

/// Lets everything go; false when nothing was held.
pub async fn release(tx: &mut PgConnection, actor: &Actor) -> sqlx::Result<bool> {
    let released = sqlx::query_scalar!(
        "update log_head set held_at = null, whole_until = null, whole_position = null, lost = false,
             doubtful_before = clock_timestamp()
         where held_at is not null returning log_id"
    );
    noted(released.fetch_optional(&mut *tx).await?, tx, actor, "hold_released").await
}

/// Believes the clock as it is now; false when it was not doubted.
pub async fn confirm_clock(tx: &mut PgConnection, actor: &Actor) -> sqlx::Result<bool> {
    let confirmed = sqlx::query_scalar!(
        "update log_head set clock_doubted_at = null, clock_right_until = null, clock_releases = clock_releases + 1
         where clock_doubted_at is not null returning log_id"
    );
    noted(confirmed.fetch_optional(&mut *tx).await?, tx, actor, "clock_confirmed").await
}

async fn noted(log_id: Option<Uuid>, tx: &mut PgConnection, actor: &Actor, kind: &'static str) -> sqlx::Result<bool> {
    let Some(log_id) = log_id else { return Ok(false) };
    tracing::warn!(by = actor.subject, kind, "ops has decided");
    history::note(tx, &log_id.to_string(), actor, Entry { kind, data: json!({}) }).await?;
    Ok(true)
}

/// Who subscribes to this log.
pub struct Consumer {
    pub name: String,
    pub confirmed: i64,
    pub seen_at: Timestamp,
    pub struck_off: bool,
}

/// All of them, by name.
pub async fn consumers(connection: &mut PgConnection) -> sqlx::Result<Vec<Consumer>> {
    sqlx::query_as!(Consumer, "select name, confirmed, seen_at, struck_off from consumer order by name")
        .fetch_all(connection)
        .await
}

/// Waits no longer for a consumer; none when there is no such one.
pub async fn strike_off(tx: &mut PgConnection, name: &str, actor: &Actor, reason: &str) -> sqlx::Result<Option<i64>> {
    let confirmed =
        sqlx::query_scalar!("update consumer set struck_off = true where name = $1 returning confirmed", name);
    let confirmed = confirmed.fetch_optional(&mut *tx).await?;
    if confirmed.is_some() {
        let data = json!({ "consumer": name, "reason": reason });
        history::note(tx, name, actor, Entry { kind: "consumer_struck_off", data }).await?;
    }
    Ok(confirmed)
}
