//! Timelines.

use foundation::base::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::timeline::Happening;
use crate::error::Error;

/// A line as a screen shows one.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The whistle.
    pub whistle_id: Uuid,
    /// The assignment; none for what concerns them all.
    pub assignment_id: Option<Uuid>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub happening: Happening,
}

impl Row {
    /// Whether it belongs on this assignment's timeline.
    pub fn concerns(&self, whistle: Uuid, assignment: Uuid) -> bool {
        self.whistle_id == whistle && self.assignment_id.is_none_or(|own| own == assignment)
    }
}

/// What has happened to these assignments and to their whistles as a whole, oldest first.
pub async fn of(tx: &mut PgConnection, whistles: &[Uuid], assignments: &[Uuid]) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        "select whistle_id, assignment_id, at, happening from timeline
         where whistle_id = any($1) and (assignment_id is null or assignment_id = any($2))
         order by at, happening ->> 'kind' <> 'blown', id",
        whistles,
        assignments
    );
    let read = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let happening = serde_json::from_value::<Happening>(row.happening as Value)?;
        Ok(Row { whistle_id: row.whistle_id, assignment_id: row.assignment_id, at: row.at, happening })
    });
    read.collect()
}
