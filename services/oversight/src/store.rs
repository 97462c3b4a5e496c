//! SQL that decides or writes.

pub mod case;
pub mod correction;
pub mod timeline;

use sqlx::PgConnection;
use uuid::Uuid;

/// A column of what is written in one statement.
fn column<'t, T, V>(of: &'t [T], value: impl Fn(&'t T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}

/// Lets one transaction after the other open or correct the cases of these assignments: an annulment finds the case, or is on the timeline
/// before there is one.
pub async fn in_turn(tx: &mut PgConnection, mut assignments: Vec<Uuid>) -> sqlx::Result<()> {
    if assignments.is_empty() {
        return Ok(());
    }
    // Everybody in the same order: nobody waits for whoever waits for them.
    assignments.sort_unstable();
    let locks = sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended(one::text, 0)) from unnest($1::uuid[]) as one",
        &assignments
    );
    locks.fetch_all(tx).await.map(drop)
}
