//! The log as whoever watches it sees it: that something has changed, never what it is now.

use proto::common::v1::Change;
use sqlx::PgPool;

use super::audience;
use crate::base::{Timestamp, time};

/// Something has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// In the log.
    pub position: i64,
    /// CloudEvents type.
    pub subject: String,
    /// What it is about.
    pub aggregate: String,
    /// Its version from then on.
    pub version: i64,
    /// When.
    pub occurred_at: Timestamp,
    /// Who may learn of it.
    pub audiences: Vec<String>,
}

impl Entry {
    /// Entries past a position, in order.
    pub(super) async fn read(pool: &PgPool, after: i64, until: i64, limit: i64) -> sqlx::Result<Vec<Entry>> {
        let rows = sqlx::query!(
            r#"select position as "position!", subject, aggregate_id, version, occurred_at, audiences from outbox
               where position > $1 and position <= $2 order by position limit $3"#,
            after,
            until,
            limit
        );
        let entries = rows.fetch_all(pool).await?.into_iter().map(|row| Entry {
            position: row.position,
            subject: row.subject,
            aggregate: row.aggregate_id,
            version: row.version,
            occurred_at: row.occurred_at,
            audiences: audience::read(&row.audiences),
        });
        Ok(entries.collect())
    }
}

impl From<Entry> for Change {
    fn from(entry: Entry) -> Change {
        Change {
            r#type: entry.subject,
            subject_id: entry.aggregate,
            version: entry.version,
            occurred_time: Some(time::to_wire(entry.occurred_at)),
        }
    }
}
