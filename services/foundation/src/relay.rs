//! Publishing placed facts to NATS. Two relays at once only make duplicates, which `Nats-Msg-Id` and every inbox drop.

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgConnection;

use crate::bus::{Bus, Fact};
use crate::db::{Db, Session};
use crate::host::Stop;
use crate::outbox;

/// How long the relay waits when nothing wakes it; other replicas' facts are then no older than this.
const POLL: Duration = Duration::from_millis(200);
/// How long it breathes between passes: what is committed meanwhile goes out together, for a fraction of the work.
const BREATH: Duration = Duration::from_millis(4);
/// Facts published before their acknowledgements are awaited.
const BATCH: i64 = 500;

/// Places and publishes until told to stop; then once more, so that what was committed before the stop leaves too.
pub async fn run(db: Db, bus: Bus, stop: Stop) -> anyhow::Result<()> {
    let mut commits = db.commits();
    let (mut session, mut failures) = (db.session(), 0_u32);
    loop {
        let stopping = stop.requested();
        match pass(&mut session, &bus).await {
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
        crate::host::pause(BREATH).await;
        tokio::select! {
            () = stop.wait() => {}
            // Fails only when the database handle is gone, which this task itself holds.
            _ = commits.changed() => {}
            () = crate::host::pause(POLL) => {}
        }
    }
}

/// Places what was committed, and publishes what is past the cursor.
async fn pass(session: &mut Session, bus: &Bus) -> anyhow::Result<()> {
    let db = session.db.clone();
    let mut connection = db.in_time(session.take()).await?;
    let (head, mut cursor) = outbox::place(&db, &mut connection).await?;
    let mut published = Ok(());
    while cursor < head && bus.connected() && published.is_ok() {
        let facts = db.in_time(past(&mut connection, cursor)).await?;
        let last = facts.last().map_or(head, |fact| fact.position);
        published = bus.publish(facts).await;
        if published.is_ok() {
            let moved = sqlx::query!("update relay set cursor = $2 where cursor = $1", cursor, last);
            db.in_time(moved.execute(&mut connection)).await?;
            cursor = last;
        }
    }
    // It is NATS that failed, if anything did.
    session.keep(connection);
    published
}

async fn past(tx: &mut PgConnection, cursor: i64) -> sqlx::Result<Vec<Fact>> {
    let rows = sqlx::query!(
        r#"select position as "position!", event_id, subject, aggregate_id, payload, traceparent, occurred_at
           from outbox where position > $1 order by position limit $2"#,
        cursor,
        BATCH
    )
    .fetch_all(tx)
    .await?;
    let facts = rows.into_iter().map(|row| Fact {
        id: row.event_id,
        subject: row.subject,
        aggregate: row.aggregate_id,
        payload: Bytes::from(row.payload),
        traceparent: row.traceparent,
        occurred_at: row.occurred_at,
        position: row.position,
    });
    Ok(facts.collect())
}
