//! Residents: one row each.

use foundation::base::Timestamp;
use sqlx::PgConnection;

use crate::domain::resident::Resident;

/// Writes a new resident.
pub async fn add(tx: &mut PgConnection, resident: &Resident, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into resident (id, area, display_name, version, created_at) values ($1, $2, $3, $4, $5)",
        resident.id.0,
        resident.area,
        resident.display_name,
        resident.version,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}
