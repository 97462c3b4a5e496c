//! Knowing a restored database from the one that was.
//!
//! Every connection is looked at before it is first used, so nobody reads or decides on a copy unnoticed. Where the server,
//! its timeline or the database is another than the log was kept on, the log gets a new identity (positions that subscribers
//! hold may name other events now), and the service is *held*: everything goes on, rungs fire, but nothing leaves the house
//! for SMS, phone or 阳光+ until ops, seeing what would leave, releases it.
//!
//! A failover to a synchronous standby is no restore: a process that lived through it remembers how far the log had come,
//! and where nothing of that is missing it vouches for it, and nothing is held; cursors of the old log go on.

use std::sync::{Mutex, PoisonError};

use sqlx::PgConnection;
use uuid::Uuid;

/// What this process has seen of the log: on which cluster, and how far.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Option<(String, i64)>>);

/// What a witness says of a copy that has the log of `cluster` up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Testimony {
    /// It was not there.
    Nothing,
    /// Everything that it had seen is there.
    Whole,
    /// It had seen more.
    Missing,
}

impl Witness {
    fn saw(&self, cluster: &str, position: i64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reached =
            seen.as_ref().filter(|(known, _)| known == cluster).map_or(position, |(_, known)| position.max(*known));
        *seen = Some((cluster.to_owned(), reached));
    }

    /// The log has come this far on the cluster last seen.
    pub(crate) fn advanced(&self, position: i64) {
        if let Some((_, known)) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *known = position.max(*known);
        }
    }

    /// What this process says of `current`, which has the log of `cluster` up to `position`. Another database is no failover.
    fn testify(&self, cluster: &str, current: &str, position: i64) -> Testimony {
        let database = |cluster: &str| cluster.split('/').step_by(2).map(str::to_owned).collect::<Vec<_>>();
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((known, reached)) if known == cluster && *reached > position => Testimony::Missing,
            Some((known, _)) if known == cluster && database(cluster) == database(current) => Testimony::Whole,
            Some(_) | None => Testimony::Nothing,
        }
    }
}

/// The log's row, as far as recognising goes.
struct Head {
    log_id: Uuid,
    cluster: String,
    current: Option<String>,
    position: i64,
    held: bool,
    whole_until: Option<String>,
    whole_position: Option<i64>,
    lost: bool,
}

/// What becomes of the log.
struct Verdict {
    renewed: bool,
    held: bool,
    lost: bool,
    whole_until: String,
    whole_position: i64,
}

/// Whether the log is another one now, whether it is held, and until when it was whole. Pure; none when nothing changes.
fn decide(head: &Head, current: &str, witness: &Witness) -> Option<Verdict> {
    let renewed = head.cluster != current;
    let earlier = head.whole_until.clone().zip(head.whole_position).filter(|_| head.held || !renewed);
    let set_back = !renewed && witness.testify(current, current, head.position) == Testimony::Missing;
    if !renewed && !set_back && earlier.is_none() {
        return None;
    }
    let (whole_until, whole_position) = earlier.unwrap_or((head.cluster.clone(), head.position));
    let testimony = witness.testify(&whole_until, current, whole_position);
    let lost = head.lost || set_back || testimony == Testimony::Missing;
    let held = lost || if testimony == Testimony::Whole { false } else { renewed || head.held };
    let changed = renewed || set_back || held != head.held || lost != head.lost;
    changed.then_some(Verdict { renewed: renewed || set_back, held, lost, whole_until, whole_position })
}

/// Looks at the database behind a new connection; adopts it where it is another one than the log was kept on.
pub(crate) async fn recognise(connection: &mut PgConnection, witness: &Witness) -> sqlx::Result<()> {
    use sqlx::Connection as _;
    let head = sqlx::query_as!(
        Head,
        r#"select log_id, cluster, cluster() as current, position, held_at is not null as "held!", whole_until,
                  whole_position, lost from log_head"#
    );
    let head = match head.fetch_one(&mut *connection).await {
        Ok(head) => head,
        // Not migrated yet: whoever checks the schema says so.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => return Ok(()),
        Err(error) => return Err(error),
    };
    let current = head.current.as_deref().ok_or_else(|| sqlx::Error::Protocol("this Postgres is a standby".into()))?;
    if decide(&head, current, witness).is_some() {
        let mut tx = connection.begin().await?;
        adopt(&mut tx, current, witness).await?;
        tx.commit().await?;
    }
    witness.saw(current, head.position);
    Ok(())
}

/// Decides again under the lock, and writes what becomes of the log.
async fn adopt(tx: &mut PgConnection, current: &str, witness: &Witness) -> sqlx::Result<()> {
    wait_for_the_disk(tx).await?;
    let head = sqlx::query_as!(
        Head,
        r#"select log_id, cluster, cluster() as current, position, held_at is not null as "held!", whole_until,
                  whole_position, lost from log_head for update"#
    );
    let head = head.fetch_one(&mut *tx).await?;
    let Some(verdict) = decide(&head, current, witness) else { return Ok(()) };
    let log_id = if verdict.renewed { crate::base::id::new() } else { head.log_id };
    sqlx::query!(
        "update log_head set log_id = $1, cluster = $2,
             earlier_log_id = case when $1 = log_id then earlier_log_id when $6 then null else log_id end,
             earlier_position = case when $1 = log_id then earlier_position when $6 then null else position end, whole_until = $3, whole_position = $4, lost = $5,
             cluster_at = case when cluster = $2 then cluster_at else clock_timestamp() end,
             held_at = case when $6 then coalesce(held_at, clock_timestamp()) end, doubtful_before = clock_timestamp()",
        log_id,
        current,
        verdict.whole_until,
        verdict.whole_position,
        verdict.lost,
        verdict.held
    )
    .execute(tx)
    .await?;
    match verdict.held {
        true => tracing::error!(%log_id, "this database was restored: nothing leaves the house until ops releases it"),
        false => tracing::warn!(%log_id, "the server failed over and nothing is missing; subscribers reread the log"),
    }
    Ok(())
}

/// A reader knows positions that this log never reached: it was set back. Another log from now on, and held.
pub(crate) async fn renew(tx: &mut PgConnection) -> sqlx::Result<Uuid> {
    wait_for_the_disk(tx).await?;
    let log_id = crate::base::id::new();
    sqlx::query!(
        "update log_head set log_id = $1, earlier_log_id = null, earlier_position = null, lost = true, held_at = coalesce(held_at, clock_timestamp()),
             doubtful_before = clock_timestamp()",
        log_id
    )
    .execute(tx)
    .await?;
    tracing::error!(new = %log_id, "a reader is ahead of this log: it was set back; nothing leaves until ops releases it");
    Ok(log_id)
}

/// This transaction's commit does, unlike others: whoever is told of it acts on it, and a crash must not undo that all is held.
async fn wait_for_the_disk(tx: &mut PgConnection) -> sqlx::Result<()> {
    let set = sqlx::query_scalar!(r#"select set_config('synchronous_commit', 'on', true) as "set!""#);
    set.fetch_one(tx).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "1/00000001/5";
    const PROMOTED: &str = "1/00000002/5";

    fn witness(cluster: &str, position: i64) -> Witness {
        let witness = Witness::default();
        witness.saw(cluster, position);
        witness
    }

    fn head(cluster: &str, position: i64) -> Head {
        let (log_id, cluster) = (Uuid::nil(), cluster.to_owned());
        Head {
            log_id,
            cluster,
            current: None,
            position,
            held: false,
            whole_until: None,
            whole_position: None,
            lost: false,
        }
    }

    fn after(head: Head, current: &str, witness: &Witness) -> Head {
        match decide(&head, current, witness) {
            None => head,
            Some(Verdict { held, lost, whole_until, whole_position, .. }) => Head {
                cluster: current.into(),
                held,
                lost,
                whole_until: Some(whole_until),
                whole_position: Some(whole_position),
                ..head
            },
        }
    }

    #[test]
    fn a_restart_changes_nothing() {
        assert!(decide(&head(BEFORE, 7), BEFORE, &Witness::default()).is_none());
        assert!(decide(&head(BEFORE, 7), BEFORE, &witness(BEFORE, 7)).is_none());
    }

    #[test]
    fn whoever_lived_through_a_failover_vouches_if_nothing_seen_is_missing() {
        assert!(!after(head(BEFORE, 7), PROMOTED, &witness(BEFORE, 7)).held);
        assert!(after(head(BEFORE, 6), PROMOTED, &witness(BEFORE, 7)).held, "an asynchronous copy");
    }

    #[test]
    fn nobody_vouches_for_what_it_has_not_seen_or_for_another_server_or_database() {
        assert!(after(head(BEFORE, 7), PROMOTED, &Witness::default()).held, "it has just started");
        assert!(after(head(BEFORE, 7), "2/00000001/5", &witness(BEFORE, 7)).held, "a dump in another server");
        assert!(after(head(BEFORE, 7), "1/00000001/6", &witness(BEFORE, 7)).held, "a dump in the same server");
    }

    #[test]
    fn a_witness_that_comes_later_lifts_a_doubt_and_one_that_misses_something_holds_for_good() {
        let doubted = after(head(BEFORE, 7), PROMOTED, &Witness::default());
        let moved_on = Head { position: 90, ..doubted };
        let vouched = after(moved_on, PROMOTED, &witness(BEFORE, 7));
        assert!(!vouched.held);
        let denied = after(vouched, PROMOTED, &witness(BEFORE, 8));
        assert!(denied.held && denied.lost, "what was numbered since does not make up for what is missing");
        assert!(after(denied, PROMOTED, &witness(BEFORE, 7)).held);
    }

    #[test]
    fn a_failover_lifts_no_hold_of_an_earlier_restore() {
        let restored = after(head("9/00000001/5", 7), BEFORE, &Witness::default());
        let failed_over = after(restored, PROMOTED, &witness(BEFORE, 7));
        assert!(failed_over.held);
    }

    #[test]
    fn a_log_that_was_set_back_under_the_same_server_is_held() {
        assert!(after(head(BEFORE, 6), BEFORE, &witness(BEFORE, 7)).held);
    }
}
