//! Alarms: written once, never changed.

use foundation::base::id;
use sqlx::PgConnection;

use super::column;
use crate::domain::alarm::Alarm;

/// Writes alarms, each once.
pub async fn add(tx: &mut PgConnection, alarms: &[Alarm]) -> sqlx::Result<()> {
    if alarms.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into alarm (id, list_id, reason, assignment_id, text)
         select id, list_id, reason, assignment_id, text
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[])
             as alarmed (id, list_id, reason, assignment_id, text)
         on conflict (id) do nothing",
        &column(alarms, |one| one.id),
        &column(alarms, |_| id::new()),
        &column(alarms, |one| one.reason.word()) as &[&str],
        &column(alarms, |one| one.assignment),
        &column(alarms, |one| one.text.as_str()) as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}
