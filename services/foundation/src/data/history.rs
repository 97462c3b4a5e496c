//! What was done, by whom: one row a change, data and never text, so that a timeline is worded when it is read. The rows are written with
//! the outbox's statement (`log::outbox`), under the event's id.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::base::{Actor, Timestamp};

/// What a change is in history.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Machine-readable, for example `answered`.
    pub kind: &'static str,
    /// What belongs to it: ids, words, numbers.
    pub data: Value,
}

/// A change as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Version of the subject from then on.
    pub version: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub kind: String,
    /// What belongs to it.
    pub data: Value,
}

/// What has happened to these, each oldest first.
pub async fn of(tx: &mut PgConnection, subjects: &[String]) -> sqlx::Result<Vec<(String, Past)>> {
    let rows = sqlx::query!(
        "select subject_id, version, at, actor, role, kind, data from history where subject_id = any($1)
         order by subject_id, version, at",
        subjects
    );
    let past = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let actor = Actor::new(row.actor, row.role);
        (row.subject_id, Past { version: row.version, at: row.at, actor, kind: row.kind, data: row.data })
    });
    Ok(past.collect())
}

/// Writes what belongs to no event: what ops does.
pub(crate) async fn note(tx: &mut PgConnection, subject: &str, actor: &Actor, entry: Entry) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into history (event_id, subject_id, version, at, actor, role, kind, data)
         values ($1, $2, 0, clock_timestamp(), $3, $4, $5, $6)",
        crate::base::id::new(),
        subject,
        actor.subject,
        actor.role,
        entry.kind,
        entry.data
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The id that history knows something by.
pub fn subject(id: Uuid) -> String {
    id.to_string()
}
