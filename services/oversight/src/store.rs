//! SQL that decides or writes.

pub mod case;
pub mod correction;
pub mod timeline;

use foundation::data::column;
use sqlx::PgConnection;
use uuid::Uuid;

/// Lets one transaction after the other open or correct the cases of these assignments. Asked once a transaction, for all of them: everybody
/// then waits in the same order, and nobody for whoever waits for them.
pub async fn in_turn(tx: &mut PgConnection, mut assignments: Vec<Uuid>) -> sqlx::Result<()> {
    if assignments.is_empty() {
        return Ok(());
    }
    assignments.sort_unstable();
    let locks = sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended(one::text, 0)) from unnest($1::uuid[]) as one",
        &assignments
    );
    locks.fetch_all(tx).await.map(drop)
}
