//! Knowing a restored database from the one that was.
//!
//! Every connection is looked at before it is first used, so nobody reads or decides on a copy unnoticed. Where the server,
//! its timeline or the database is another than the log was kept on, the log gets a new identity (positions that hearers
//! hold may name other facts now), and the service is *held*: everything goes on, rungs fire, but nothing leaves the house
//! for SMS, phone or 阳光+ until ops, seeing what would leave, releases it.
//!
//! A failover to a synchronous standby is no restore: a process that lived through it remembers how far the log had come,
//! and where nothing of that is missing it says so, and nothing is held.

use std::sync::{Mutex, PoisonError};

use sqlx::PgConnection;
use uuid::Uuid;

/// What this process has seen of the log: on which cluster, and how far.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Option<(String, i64)>>);

impl Witness {
    fn last(&self) -> Option<(String, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw(&self, cluster: &str, position: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((cluster.to_owned(), position));
    }

    /// The log had come this far on the cluster last seen.
    pub(crate) fn advanced(&self, position: i64) {
        if let Some((_, known)) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *known = position.max(*known);
        }
    }

    /// Whether this process was there when the log was kept on `cluster`, and nothing that it saw then is missing at
    /// `position` of the same server's next timeline.
    fn vouches(&self, cluster: &str, current: &str, position: i64) -> bool {
        let server = |cluster: &str| cluster.split('/').step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let seen = self.last().is_some_and(|(known, reached)| known == cluster && reached <= position);
        seen && server(cluster) == server(current)
    }
}

/// Looks at the database behind a new connection; adopts it where it is another one than the log was kept on.
pub(crate) async fn recognise(connection: &mut PgConnection, witness: &Witness) -> sqlx::Result<()> {
    let head = sqlx::query!("select cluster, position, whole_until, cluster() as current from log_head");
    let head = match head.fetch_one(&mut *connection).await {
        Ok(head) => head,
        // Not migrated yet: whoever checks the schema says so.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => return Ok(()),
        Err(error) => return Err(error),
    };
    let current = head.current.ok_or_else(|| sqlx::Error::Protocol("this Postgres is a standby".into()))?;
    let doubted = head.whole_until.is_some_and(|whole| witness.vouches(&whole, &current, head.position));
    if head.cluster != current || doubted {
        adopt(connection, witness).await?;
    }
    witness.saw(&current, head.position);
    Ok(())
}

/// Gives the log of another cluster a new identity, and holds it unless this process vouches that nothing is missing.
async fn adopt(connection: &mut PgConnection, witness: &Witness) -> sqlx::Result<()> {
    use sqlx::Connection as _;
    let mut tx = connection.begin().await?;
    let head = sqlx::query!(
        r#"select log_id, cluster, position, whole_until, cluster() as "current!" from log_head for update"#
    )
    .fetch_one(&mut *tx)
    .await?;
    let whole_until = head.whole_until.as_deref().unwrap_or(&head.cluster);
    let held = !witness.vouches(whole_until, &head.current, head.position);
    let log_id = if head.cluster == head.current { head.log_id } else { crate::id::new() };
    sqlx::query!(
        "update log_head set log_id = $1, cluster = $2, whole_until = $3,
             held_at = case when $3::text is not null then coalesce(held_at, clock_timestamp()) end",
        log_id,
        head.current,
        held.then_some(whole_until)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    match held {
        true => tracing::error!(%log_id, "this database was restored: nothing leaves the house until ops releases it"),
        false => tracing::warn!(%log_id, "the server failed over and nothing is missing; hearers reread the log"),
    }
    Ok(())
}

/// Gives the log a new identity although the cluster is the same: a hearer knows positions that this log never reached.
pub(crate) async fn renew(tx: &mut PgConnection) -> sqlx::Result<Uuid> {
    let log_id = crate::id::new();
    sqlx::query!("update log_head set log_id = $1", log_id).execute(tx).await?;
    tracing::error!(new = %log_id, "a hearer is ahead of this log: it was set back, and hearers reread it");
    Ok(log_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(cluster: &str, position: i64) -> Witness {
        let witness = Witness::default();
        witness.saw(cluster, position);
        witness
    }

    #[test]
    fn whoever_lived_through_a_failover_vouches_if_nothing_seen_is_missing() {
        let seen = witness("1/00000001/5", 7);
        assert!(seen.vouches("1/00000001/5", "1/00000002/5", 7));
        assert!(!seen.vouches("1/00000001/5", "1/00000002/5", 6), "what was seen is missing: an asynchronous copy");
        seen.advanced(8);
        assert!(!seen.vouches("1/00000001/5", "1/00000002/5", 7));
    }

    #[test]
    fn nobody_vouches_for_what_it_has_not_seen_or_for_another_server() {
        assert!(!Witness::default().vouches("1/00000001/5", "1/00000002/5", 7), "it has just started");
        assert!(!witness("1/00000000/5", 7).vouches("1/00000001/5", "1/00000002/5", 7));
        assert!(!witness("1/00000001/5", 7).vouches("1/00000001/5", "2/00000001/5", 7), "a dump in another server");
        assert!(!witness("1/00000001/5", 7).vouches("1/00000001/5", "1/00000001/6", 7), "a dump in the same server");
    }
}
