//! What the ladder loop reads and writes: many assignments at once, each locked, none waited for.

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{AssignmentId, GrievanceId, UnitId, WhistleId};
use crate::error::Error;

/// An assignment with a rung due, locked.
#[derive(Debug, Clone)]
pub struct Due {
    /// The assignment.
    pub id: AssignmentId,
    /// Its unit.
    pub unit: UnitId,
    /// Its whistle.
    pub whistle: WhistleId,
    /// The grievance.
    pub grievance: GrievanceId,
    /// The whistle's area.
    pub area: String,
    /// The whistle's matter.
    pub matter: String,
    /// The whistle's policy.
    pub policy: i64,
}

/// Locks up to `limit` assignments with a rung due, earliest first, past those that others hold.
pub async fn take(tx: &mut PgConnection, limit: i64, except: &[Uuid]) -> Result<Vec<Due>, Error> {
    let rows = sqlx::query!(
        "select a.id, a.unit_id, a.whistle_id, w.grievance_id, w.area, w.matter, w.policy_version
         from assignment a join whistle w on w.id = a.whistle_id
         where a.next_due_at is not null and a.next_due_at <= (select clock_timestamp()) and a.id <> all($2)
         order by a.next_due_at, a.id limit $1 for update of a skip locked",
        limit,
        except
    )
    .fetch_all(tx)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        id: AssignmentId(row.id),
        unit: UnitId(row.unit_id),
        whistle: WhistleId(row.whistle_id),
        grievance: GrievanceId(row.grievance_id),
        area: row.area,
        matter: row.matter,
        policy: row.policy_version,
    });
    Ok(due.collect())
}

/// How long until the next rung is due; negative when one is overdue, none when there is none.
pub async fn until_next(tx: &mut PgConnection, except: &[Uuid]) -> sqlx::Result<Option<TimeDelta>> {
    let row = sqlx::query!(
        r#"select next_due_at as "due!", clock_timestamp() as "now!" from assignment
           where next_due_at is not null and id <> all($1) order by next_due_at, id limit 1"#,
        except
    );
    Ok(row.fetch_optional(tx).await?.map(|row| row.due - row.now))
}
