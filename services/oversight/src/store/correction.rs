//! Corrections: written once, never changed.

use sqlx::PgConnection;
use uuid::Uuid;

use super::column;
use crate::domain::Card;
use crate::domain::correction::Correction;

/// Writes corrections, each once.
pub async fn add(tx: &mut PgConnection, corrections: &[Correction]) -> sqlx::Result<()> {
    if corrections.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into correction (id, case_id, card) select id, case_id, card
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as corrected (id, case_id, card) on conflict (id) do nothing",
        &column(corrections, |one| one.id),
        &column(corrections, |one| one.case),
        &column(corrections, |one| one.card.word()) as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// These.
pub async fn by_ids(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Correction>> {
    sqlx::query_as!(
        Correction,
        r#"select c.id, c.case_id as "case", f.assignment_id as assignment, f.ladder_id as ladder, c.card as "card: Card"
           from correction c join case_file f on f.id = c.case_id where c.id = any($1)"#,
        ids
    )
    .fetch_all(tx)
    .await
}
