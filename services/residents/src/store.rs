//! SQL that decides.

use sqlx::PgConnection;

use crate::domain::Resident;

/// Writes a new resident.
pub async fn add(tx: &mut PgConnection, resident: &Resident) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into resident (id, area, display_name) values ($1, $2, $3)",
        resident.id,
        resident.area,
        resident.display_name
    )
    .execute(tx)
    .await?;
    Ok(())
}
