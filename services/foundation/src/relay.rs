//! Publishing placed facts to NATS. Two relays at once only make duplicates, which `Nats-Msg-Id` and every inbox drop.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::bus::{Bus, Fact};
use crate::db::Db;
use crate::host::Stop;
use crate::outbox;

/// How long the relay waits when nothing wakes it; other replicas' facts are then no older than this.
const POLL: Duration = Duration::from_millis(200);
/// Facts published before their acknowledgements are awaited.
const BATCH: i64 = 500;

/// Places and publishes until told to stop; then once more, so that what was committed before the stop leaves too.
pub async fn run(db: Db, bus: Bus, stop: Stop) -> anyhow::Result<()> {
    let mut commits = db.commits();
    let mut failures: u32 = 0;
    loop {
        let stopping = stop.requested();
        match pass(&db, &bus).await {
            Ok(()) => failures = 0,
            Err(error) => {
                // Said once per outage: catch-up delivers meanwhile.
                if failures == 0 {
                    tracing::warn!(error = %format!("{error:#}"), "facts are not relayed; hearers catch up from the log");
                }
                failures = failures.saturating_add(1);
            }
        }
        if stopping {
            return Ok(());
        }
        tokio::select! {
            () = stop.wait() => {}
            // Fails only when the database handle is gone, which this task itself holds.
            _ = commits.changed() => {}
            () = crate::host::pause(POLL) => {}
        }
    }
}

async fn pass(db: &Db, bus: &Bus) -> anyhow::Result<()> {
    outbox::place(db).await?;
    while bus.connected() && publish(db, bus).await? {}
    Ok(())
}

/// Publishes what is past the cursor; true when there may be more.
async fn publish(db: &Db, bus: &Bus) -> anyhow::Result<bool> {
    let cursor = sqlx::query_scalar!("select cursor from relay").fetch_one(&db.work).await?;
    let rows = sqlx::query!(
        r#"select position as "position!", event_id, subject, aggregate_id, payload, traceparent, occurred_at
           from outbox where position > $1 order by position limit $2"#,
        cursor,
        BATCH
    )
    .fetch_all(&db.work)
    .await?;
    let Some(last) = rows.last().map(|row| row.position) else { return Ok(false) };
    let full = i64::try_from(rows.len())? == BATCH;
    let facts = rows.into_iter().map(|row| Fact {
        id: row.event_id,
        subject: row.subject,
        aggregate: row.aggregate_id,
        payload: Bytes::from(row.payload),
        traceparent: row.traceparent,
        occurred_at: row.occurred_at,
        position: row.position,
    });
    bus.publish(facts.collect()).await?;
    sqlx::query!("update relay set cursor = $2 where cursor = $1", cursor, last).execute(&db.work).await?;
    Ok(full)
}

/// Gives the log a new identity when this database is a restored copy or the server failed over: positions that hearers
/// hold may then name other facts than before. Returns the identity.
pub async fn adopt_log(db: &Db) -> sqlx::Result<Uuid> {
    let mut tx = db.begin().await?;
    let head = sqlx::query!(r#"select log_id, cluster, cluster() as "current!" from log_head for update"#)
        .fetch_one(&mut *tx)
        .await?;
    let mut log_id = head.log_id;
    if head.cluster != head.current {
        log_id = crate::id::new();
        sqlx::query!("update log_head set log_id = $1, cluster = $2", log_id, head.current).execute(&mut *tx).await?;
        tracing::warn!(old = %head.log_id, new = %log_id, "the database was restored or failed over: hearers reread the log");
    }
    tx.commit().await?;
    Ok(log_id)
}
