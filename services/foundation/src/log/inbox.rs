//! Applying events: each once, in one transaction with the inbox row that remembers it. Later events about the same aggregate park
//! behind a parked one; a replay takes them in the order they arrived.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use sqlx::{Connection as _, PgConnection};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::envelope::Envelope;
use super::outbox;
use super::routes::Routes;
use crate::base::{Chain, Failure, metrics, trace};
use crate::data::{Db, Session};

/// How many events are applied in one transaction at most.
pub const BATCH: usize = 100;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, applied before, or parked: nothing more to do.
    Handled,
    /// To be brought again.
    Retry,
}

/// Applies the events that were not applied before, in one transaction: its costs are shared. Whatever is out of the ordinary
/// (an event that cannot be applied now, one that waits behind a parked one) sends all of them through one by one, so that none
/// holds up another. Answers in the order of the events.
pub async fn apply_all(session: &mut Session, routes: &Routes, events: &[Envelope]) -> Vec<Outcome> {
    let db = session.db.clone();
    if db.in_time(batch(session, routes, events)).await.unwrap_or(false) {
        events.iter().for_each(|event| metrics::received(&event.subject, "handled"));
        return vec![Outcome::Handled; events.len()];
    }
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        outcomes.push(apply(&db, routes, event.clone()).await);
    }
    outcomes
}

/// False when one of them needs a transaction of its own.
async fn batch(session: &mut Session, routes: &Routes, events: &[Envelope]) -> Result<bool, Retry> {
    let mut ordered: Vec<&Envelope> = events.iter().collect();
    // One order for every replica: two that receive events of the same aggregates wait for each other, never in a circle.
    ordered.sort_by_key(|event| (&event.aggregate, event.position, event.id));
    ordered.dedup_by_key(|event| event.id);
    let mut connection = session.take().await?;
    let mut tx = connection.begin().await?;
    let (applied, published) = match first_times(&mut tx, routes.consumer, &ordered).await? {
        Some(new) => {
            let new = ordered.into_iter().filter(|event| new.contains(&event.id));
            outbox::watched(all(&mut tx, routes, new)).await
        }
        None => (false, false),
    };
    match applied {
        true => tx.commit().await?,
        false => tx.rollback().await?,
    }
    session.keep(connection);
    if applied {
        session.db.committed_received(published);
    }
    Ok(applied)
}

async fn all<'f>(tx: &mut PgConnection, routes: &Routes, events: impl Iterator<Item = &'f Envelope>) -> bool {
    if let Some(gatherer) = routes.gatherer {
        // Each is handled in a trace of its own, though all are written in one batch.
        let (_spans, events): (Vec<_>, Vec<_>) = events.map(|event| in_its_span(event.clone())).unzip();
        let gathered = AssertUnwindSafe(gatherer(tx, events)).catch_unwind().await;
        return matches!(gathered, Ok(Ok(())));
    }
    for event in events {
        let span = handling(event);
        if dispatch(tx, routes, event.clone()).instrument(span).await.is_err() {
            return false;
        }
    }
    true
}

/// The event as what happens in the span of its handling knows it; and the span, which ends when it is dropped.
fn in_its_span(event: Envelope) -> (Span, Envelope) {
    let span = handling(&event);
    let traceparent = span.in_scope(trace::traceparent);
    (span, Envelope { traceparent, ..event })
}

fn handling(event: &Envelope) -> Span {
    let span =
        tracing::info_span!("receive", otel.kind = "consumer", messaging.system = "nats", subject = %event.subject);
    trace::continue_trace(&span, event.traceparent.as_deref());
    span
}

/// Applies an event unless it was applied before.
pub async fn apply(db: &Db, routes: &Routes, event: Envelope) -> Outcome {
    let (span, id, subject) = (handling(&event), event.id, event.subject.clone());
    let handled = db.in_time(in_transaction(db, routes, event)).instrument(span).await;
    metrics::received(&subject, if handled.is_ok() { "handled" } else { "retry" });
    match handled {
        Ok(()) => Outcome::Handled,
        Err(error) => {
            let error = error.to_string();
            tracing::warn!(event = %id, consumer = routes.consumer, error, "an event is brought again later");
            Outcome::Retry
        }
    }
}

async fn in_transaction(db: &Db, routes: &Routes, event: Envelope) -> Result<(), Retry> {
    let mut tx = db.begin().await?;
    if !first_time(&mut tx, routes.consumer, &event).await? {
        return Ok(());
    }
    if let Some(state) = waiting(&mut tx, routes.consumer, &event).await? {
        park(&mut tx, routes.consumer, &event, &state, "behind a parked event of the same aggregate").await?;
        tracing::warn!(event = %event.id, subject = event.subject, consumer = routes.consumer, "an event waits behind a parked one");
        return Ok(db.commit(tx).await?);
    }
    match dispatch(&mut tx, routes, event.clone()).await {
        Ok(()) => Ok(db.commit_received(tx).await?),
        Err(Failure::Retry(error)) => Err(Retry(error)),
        Err(Failure::Park(reason)) => {
            tx.rollback().await?;
            let mut tx = db.begin().await?;
            if first_time(&mut tx, routes.consumer, &event).await? {
                park(&mut tx, routes.consumer, &event, "parked", &reason).await?;
            }
            tracing::error!(event = %event.id, subject = event.subject, consumer = routes.consumer, reason,
                "an event is parked: look with `haiqu dead-letters`");
            Ok(db.commit(tx).await?)
        }
    }
}

async fn dispatch(tx: &mut PgConnection, routes: &Routes, event: Envelope) -> Result<(), Failure> {
    match routes.handlers.get(event.subject.as_str()) {
        Some(handler) => {
            let handled = AssertUnwindSafe(async move { handler(tx, event).await }).catch_unwind().await;
            // One event that breaks its handler must not take the process down again and again.
            handled.unwrap_or_else(|_| Err(Failure::Park("its handler panicked: the log has the message".into())))
        }
        // A newer replica gave the consumer one more subject: it will handle the event.
        None => Err(Failure::Retry("nobody here handles this subject".into())),
    }
}

/// Remembers the event; false when it is known already. Waits for a replica that is applying it right now.
async fn first_time(tx: &mut PgConnection, consumer: &str, event: &Envelope) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into inbox (consumer, event_id, state, subject) values ($1, $2, 'done', $3) on conflict do nothing",
        consumer,
        event.id,
        event.subject
    );
    Ok(inserted.execute(tx).await?.rows_affected() == 1)
}

/// Remembers the events, in their order; returns which were not known, or none when some wait behind a parked one.
async fn first_times(
    tx: &mut PgConnection,
    consumer: &str,
    events: &[&Envelope],
) -> sqlx::Result<Option<HashSet<Uuid>>> {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let (subjects, aggregates): (Vec<_>, Vec<_>) =
        events.iter().map(|event| (event.subject.clone(), event.aggregate.clone())).unzip();
    let inserted = sqlx::query!(
        r#"with event as materialized (
               select event_id, subject, aggregate_id, number from unnest($2::uuid[], $3::text[], $4::text[])
                   with ordinality as event (event_id, subject, aggregate_id, number)),
           first as (
               insert into inbox (consumer, event_id, state, subject)
               select $1, event_id, 'done', subject from event order by number on conflict do nothing returning event_id)
           select event_id, exists (select from inbox other where other.consumer = $1
                                    and other.aggregate_id = event.aggregate_id and other.state <> 'done') as "waits!"
           from first join event using (event_id)"#,
        consumer,
        &ids,
        &subjects,
        &aggregates
    );
    let inserted = inserted.fetch_all(tx).await?;
    let free = inserted.iter().all(|row| !row.waits);
    Ok(free.then(|| inserted.into_iter().map(|row| row.event_id).collect()))
}

/// How the events about the same aggregate wait that this one must not overtake: `parked`, or `replay` when all of them are
/// about to be applied again, and this one after them.
async fn waiting(tx: &mut PgConnection, consumer: &str, event: &Envelope) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select min(state) from inbox where consumer = $1 and aggregate_id = $2 and state <> 'done'",
        consumer,
        event.aggregate
    )
    .fetch_one(tx)
    .await
}

async fn park(tx: &mut PgConnection, consumer: &str, event: &Envelope, state: &str, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update inbox set state = $6, aggregate_id = $7, payload = $3, traceparent = $4, reason = $5
         where consumer = $1 and event_id = $2",
        consumer,
        event.id,
        &event.payload[..],
        event.traceparent,
        reason,
        state,
        event.aggregate
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of these events the consumer has not handled yet.
pub async fn missing(db: &Db, consumer: &str, events: Vec<Envelope>) -> sqlx::Result<Vec<Envelope>> {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let known =
        sqlx::query_scalar!("select event_id from inbox where consumer = $1 and event_id = any($2)", consumer, &ids)
            .fetch_all(&db.work())
            .await?;
    Ok(events.into_iter().filter(|event| !known.contains(&event.id)).collect())
}

/// Applies the dead letters that ops asked to replay, oldest first; the first that fails parks again with its followers.
pub async fn replay(db: &Db, routes: &Routes) -> Result<(), Retry> {
    while db.in_time(replay_next(db, routes)).await? {}
    Ok(())
}

/// False when there is none.
async fn replay_next(db: &Db, routes: &Routes) -> Result<bool, Retry> {
    let mut tx = db.begin().await?;
    let next = sqlx::query!(
        r#"select event_id, subject, aggregate_id as "aggregate_id!", payload as "payload!", traceparent, received_at
           from inbox next where consumer = $1 and state = 'replay' and not exists (
               select from inbox earlier where earlier.consumer = $1 and earlier.aggregate_id = next.aggregate_id
               and earlier.state = 'parked' and earlier.arrival < next.arrival)
           order by arrival limit 1 for update"#,
        routes.consumer
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = next else { return Ok(false) };
    let event = Envelope {
        id: row.event_id,
        subject: row.subject,
        aggregate: row.aggregate_id,
        payload: row.payload.into(),
        traceparent: row.traceparent,
        occurred_at: row.received_at,
        position: 0,
    };
    match dispatch(&mut tx, routes, event.clone()).await {
        Ok(()) => {
            done(&mut tx, routes.consumer, &event).await?;
            db.commit_received(tx).await?;
        }
        Err(Failure::Retry(error)) => return Err(Retry(error)),
        Err(Failure::Park(reason)) => {
            tx.rollback().await?;
            park_all(db, routes.consumer, &event, &reason).await?;
        }
    }
    Ok(true)
}

async fn done(tx: &mut PgConnection, consumer: &str, event: &Envelope) -> sqlx::Result<()> {
    sqlx::query!(
        "update inbox set state = 'done', aggregate_id = null, payload = null, reason = null where consumer = $1 and event_id = $2",
        consumer,
        event.id
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn park_all(db: &Db, consumer: &str, event: &Envelope, reason: &str) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query!(
        "update inbox set state = 'parked' where consumer = $1 and aggregate_id = $2 and state = 'replay'",
        consumer,
        event.aggregate
    )
    .execute(&mut *tx)
    .await?;
    park(&mut tx, consumer, event, "parked", reason).await?;
    tx.commit().await
}

/// Something is away; the event is brought again.
#[derive(Debug, thiserror::Error)]
#[error("{}", Chain(self.0.as_ref()))]
pub struct Retry(Box<dyn std::error::Error + Send + Sync>);

impl From<sqlx::Error> for Retry {
    fn from(error: sqlx::Error) -> Retry {
        Retry(error.into())
    }
}
