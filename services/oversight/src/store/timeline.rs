//! Lines of timelines: written once, never changed.

use serde_json::Value;
use sqlx::PgConnection;

use super::column;
use crate::domain::timeline::Line;
use crate::error::Error;

/// Writes lines. Each has its event's id, and the inbox lets an event in once: a second line of it would be a fault, and is an error.
pub async fn add(tx: &mut PgConnection, lines: &[Line]) -> Result<(), Error> {
    let happenings: Vec<Value> =
        lines.iter().map(|line| serde_json::to_value(line.happening)).collect::<Result<_, _>>()?;
    sqlx::query!(
        "insert into timeline (id, whistle_id, assignment_id, at, happening)
         select id, whistle_id, assignment_id, at, happening
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::jsonb[])
             as line (id, whistle_id, assignment_id, at, happening)",
        &column(lines, |line| line.id),
        &column(lines, |line| line.whistle),
        &column(lines, |line| line.assignment) as &[Option<uuid::Uuid>],
        &column(lines, |line| line.at),
        &happenings
    )
    .execute(tx)
    .await?;
    Ok(())
}
