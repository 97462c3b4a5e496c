//! Publishing events to NATS. Whoever numbers events publishes them, so the replicas' relays share the log between them. What somebody
//! numbered and nobody published (he died, or NATS was away) is published by whoever finds it half a second later; that may make
//! duplicates, which `Nats-Msg-Id` and every inbox drop.

use std::time::{Duration, Instant};

use bytes::Bytes;

use proto::topology;

use super::bus::Bus;
use super::envelope::Envelope;
use crate::base::error::is_locked;
use crate::base::{Stop, stop};
use crate::data::{Db, Session};

/// How long the relay waits when nothing wakes it.
const POLL: Duration = Duration::from_millis(200);
/// And between two passes at least.
const IDLE: Duration = Duration::from_millis(2);
/// Envelopes published before their acknowledgements are awaited.
const BATCH: usize = 500;

/// Numbers and publishes until told to stop; then once more, so that what was committed before the stop leaves too.
pub async fn run(service: &'static str, db: Db, bus: Bus, stop: Stop) -> anyhow::Result<()> {
    let mut published = db.published();
    let (mut relay, mut failures) = (Relay { service, session: db.flushed_session(), published: Vec::new() }, 0_u32);
    loop {
        let stopping = stop.requested();
        let began = Instant::now();
        match relay.pass(&bus).await {
            Ok(()) => failures = 0,
            Err(error) => {
                // Published once more, if need be.
                relay.published.clear();
                // Said once per outage: catch-up delivers meanwhile.
                if failures == 0 {
                    tracing::warn!(error = %format!("{error:#}"), "events are not relayed; subscribers catch up from the log");
                }
                failures = failures.saturating_add(1);
            }
        }
        if stopping {
            // Only to move the cursor: what is not recorded is published once more, and dropped.
            return relay.pass(&bus).await.or(Ok(()));
        }
        stop::idle(began, IDLE).await;
        tokio::select! {
            () = stop.wait() => {}
            // Fails only when the database handle is gone, which this task itself holds.
            _ = published.changed() => {}
            () = stop::pause(POLL) => {}
        }
    }
}

struct Relay {
    service: &'static str,
    session: Session,
    /// Acknowledged by NATS since the last pass.
    published: Vec<i64>,
}

impl Relay {
    /// Numbers what was committed, and publishes what somebody subscribes to.
    async fn pass(&mut self, bus: &Bus) -> anyhow::Result<()> {
        let db = self.session.db.clone();
        loop {
            let most = if bus.connected() { BATCH } else { 0 };
            let events = db.in_time(self.next(most)).await?;
            let positions: Vec<_> = events.iter().map(|event| event.position).collect();
            if !positions.is_empty() {
                bus.hint(self.service).await;
            }
            // What nobody subscribes to is for whoever watches the log.
            bus.publish(events.into_iter().filter(|event| topology::has_consumers(&event.subject)).collect()).await?;
            let full = positions.len() == BATCH;
            self.published.extend(positions);
            if !full {
                return Ok(());
            }
        }
    }

    /// Says what was published, numbers what was committed, and returns it: one round trip.
    async fn next(&mut self, most: usize) -> sqlx::Result<Vec<Envelope>> {
        let mut connection = self.session.take().await?;
        let rows = sqlx::query!(
            r#"select head as "head!", position, event_id, subject, aggregate_id, payload, traceparent, occurred_at
               from to_publish($1, $2)"#,
            &self.published,
            most as i64
        )
        .fetch_all(&mut connection)
        .await;
        let rows = match rows {
            // Somebody else is numbering, and a slow disk keeps it: what is left is found soon.
            Err(error) if is_locked(&error) => Vec::new(),
            rows => rows?,
        };
        self.session.keep(connection);
        if let Some(log) = rows.first() {
            self.published.clear();
            self.session.db.log_reached(log.head);
        }
        let events = rows.into_iter().filter_map(|row| {
            Some(Envelope {
                position: row.position?,
                id: row.event_id?,
                subject: row.subject?,
                aggregate: row.aggregate_id?,
                payload: Bytes::from(row.payload?),
                traceparent: row.traceparent,
                occurred_at: row.occurred_at?,
            })
        });
        Ok(events.collect())
    }
}
