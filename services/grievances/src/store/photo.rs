//! Photos: a row each, once; the picture lies in the photo store.

use sqlx::PgConnection;

use crate::domain::photo::Kept;

/// Writes a photo's row, once.
pub async fn add(tx: &mut PgConnection, owner: &str, kept: &Kept) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into photo (id, owner, width, height, size_bytes) values ($1, $2, $3, $4, $5) on conflict do nothing",
        kept.id.0,
        owner,
        kept.width.cast_signed(),
        kept.height.cast_signed(),
        kept.size_bytes
    )
    .execute(tx)
    .await?;
    Ok(())
}
