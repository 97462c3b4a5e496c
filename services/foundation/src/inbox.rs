//! Hearing facts: each is applied once, in one transaction with the inbox row that remembers it.
//!
//! A handler answers `Ok`, [`Failure::Retry`] (something is away, try again) or [`Failure::Park`] (this fact can't be
//! applied as things are: a dead letter for a person to look at). Later facts about the same aggregate park behind a
//! parked one; a replay takes them in the order they arrived.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use proto::Event;
use sqlx::{Connection as _, PgConnection};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::BoxFuture;
use crate::bus::Fact;
use crate::db::{self, Chain, Db, Session};
use crate::{outbox, telemetry};

/// How many facts are applied in one transaction at most.
pub const BATCH: usize = 100;
/// Between two batches at least: what arrives meanwhile is applied together.
const REST: Duration = Duration::from_millis(2);

impl Fact {
    /// What it says; one that cannot be read is parked.
    pub fn read<E: Event>(&self) -> Result<E, Failure> {
        E::decode(self.payload.clone()).map_err(|error| Failure::Park(format!("undecodable: {error}")))
    }
}

/// Why a fact was not applied.
#[derive(Debug)]
pub enum Failure {
    /// Try again: what failed may pass.
    Retry(Box<dyn std::error::Error + Send + Sync>),
    /// Trying again would fail the same way.
    Park(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        match db::stays(&error) {
            true => Failure::Park(Chain(&error).to_string()),
            false => Failure::Retry(error.into()),
        }
    }
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, applied before, or parked: nothing more to do.
    Handled,
    /// To be brought again.
    Retry,
}

type Handler = Arc<dyn for<'c> Fn(&'c mut PgConnection, Fact) -> BoxFuture<'c, Result<(), Failure>> + Send + Sync>;
type Gatherer = for<'c> fn(&'c mut PgConnection, Vec<Fact>) -> BoxFuture<'c, Result<(), Failure>>;

/// What a service hears, and the function for each.
#[derive(Clone)]
pub struct Routes {
    /// Name of the hearing service, of its inbox and of its durable consumer.
    pub consumer: &'static str,
    handlers: BTreeMap<&'static str, Handler>,
    gatherer: Option<Gatherer>,
    /// Between two batches at least.
    pub(crate) rest: Duration,
}

impl Routes {
    /// Hears nothing yet.
    pub fn new(consumer: &'static str) -> Routes {
        Routes { consumer, handlers: BTreeMap::new(), gatherer: None, rest: REST }
    }

    /// Hears these subjects with one function, which gets all facts at once that came together: for a hearer that writes down much
    /// and decides little. It works in the transaction of the inbox rows; it neither commits nor sleeps.
    pub fn gathering(consumer: &'static str, subjects: &[&'static str], gatherer: Gatherer) -> Routes {
        let each: Handler = Arc::new(move |tx, fact| gatherer(tx, vec![fact]));
        let handlers = subjects.iter().map(|subject| (*subject, each.clone())).collect();
        Routes { consumer, handlers, gatherer: Some(gatherer), rest: REST }
    }

    /// Hears one more event. The handler works in the transaction of the inbox row; it neither commits nor sleeps.
    pub fn on<E, F>(mut self, handler: F) -> Routes
    where
        E: Event + 'static,
        F: for<'c> Fn(&'c mut PgConnection, E) -> BoxFuture<'c, Result<(), Failure>> + Send + Sync + 'static,
    {
        let decoding: Handler = Arc::new(move |tx, fact| match fact.read() {
            Ok(event) => handler(tx, event),
            Err(failure) => Box::pin(async move { Err(failure) }),
        });
        self.handlers.insert(E::SUBJECT, decoding);
        self
    }

    /// Nobody waits for what is written here: it is written less often, and more at once.
    pub fn unhurried(self) -> Routes {
        Routes { rest: 6 * REST, ..self }
    }

    /// The subjects heard.
    pub fn subjects(&self) -> impl Iterator<Item = &'static str> {
        self.handlers.keys().copied()
    }

    /// Whether nothing is heard at all.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }
}

/// Applies the facts that were not applied before, in one transaction: its costs are shared. Whatever is out of the ordinary
/// (a fact that cannot be applied now, one that waits behind a parked one) sends all of them through one by one, so that none
/// holds up another. Answers in the order of the facts.
pub async fn apply_all(session: &mut Session, routes: &Routes, facts: &[Fact]) -> Vec<Outcome> {
    let db = session.db.clone();
    if db.in_time(together(session, routes, facts)).await.unwrap_or(false) {
        facts.iter().for_each(|fact| telemetry::heard(&fact.subject, "handled"));
        return vec![Outcome::Handled; facts.len()];
    }
    let mut outcomes = Vec::with_capacity(facts.len());
    for fact in facts {
        outcomes.push(apply(&db, routes, fact.clone()).await);
    }
    outcomes
}

/// False when one of them needs a transaction of its own.
async fn together(session: &mut Session, routes: &Routes, facts: &[Fact]) -> Result<bool, Retry> {
    let mut ordered: Vec<&Fact> = facts.iter().collect();
    // One order for every replica: two that hear of the same aggregates wait for each other, never in a circle.
    ordered.sort_by_key(|fact| (&fact.aggregate, fact.position, fact.id));
    ordered.dedup_by_key(|fact| fact.id);
    let mut connection = session.take().await?;
    let mut tx = connection.begin().await?;
    let (applied, stated) = match first_times(&mut tx, routes.consumer, &ordered).await? {
        Some(new) => {
            let new = ordered.into_iter().filter(|fact| new.contains(&fact.id));
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
        session.db.committed_heard(stated);
    }
    Ok(applied)
}

async fn all<'f>(tx: &mut PgConnection, routes: &Routes, facts: impl Iterator<Item = &'f Fact>) -> bool {
    if let Some(gatherer) = routes.gatherer {
        // Each is heard in a trace of its own, though all are written together.
        let (_spans, facts): (Vec<_>, Vec<_>) = facts.map(|fact| in_its_span(fact.clone())).unzip();
        let gathered = AssertUnwindSafe(gatherer(tx, facts)).catch_unwind().await;
        return matches!(gathered, Ok(Ok(())));
    }
    for fact in facts {
        let span = hearing(fact);
        if dispatch(tx, routes, fact.clone()).instrument(span).await.is_err() {
            return false;
        }
    }
    true
}

/// The fact as what happens in the span of its hearing knows it; and the span, which ends when it is dropped.
fn in_its_span(fact: Fact) -> (Span, Fact) {
    let span = hearing(&fact);
    let traceparent = span.in_scope(telemetry::traceparent);
    (span, Fact { traceparent, ..fact })
}

fn hearing(fact: &Fact) -> Span {
    let span = tracing::info_span!("hear", otel.kind = "consumer", messaging.system = "nats", subject = %fact.subject);
    telemetry::continue_trace(&span, fact.traceparent.as_deref());
    span
}

/// Applies a fact unless it was applied before.
pub async fn apply(db: &Db, routes: &Routes, fact: Fact) -> Outcome {
    let (span, id, subject) = (hearing(&fact), fact.id, fact.subject.clone());
    let handled = db.in_time(in_transaction(db, routes, fact)).instrument(span).await;
    telemetry::heard(&subject, if handled.is_ok() { "handled" } else { "retry" });
    match handled {
        Ok(()) => Outcome::Handled,
        Err(error) => {
            let error = error.to_string();
            tracing::warn!(event = %id, consumer = routes.consumer, error, "a fact is brought again later");
            Outcome::Retry
        }
    }
}

async fn in_transaction(db: &Db, routes: &Routes, fact: Fact) -> Result<(), Retry> {
    let mut tx = db.begin().await?;
    if !first_time(&mut tx, routes.consumer, &fact).await? {
        return Ok(());
    }
    if let Some(state) = waiting(&mut tx, routes.consumer, &fact).await? {
        park(&mut tx, routes.consumer, &fact, &state, "behind a parked fact of the same aggregate").await?;
        tracing::warn!(event = %fact.id, subject = fact.subject, consumer = routes.consumer, "a fact waits behind a parked one");
        return Ok(db.commit(tx).await?);
    }
    match dispatch(&mut tx, routes, fact.clone()).await {
        Ok(()) => Ok(db.commit_heard(tx).await?),
        Err(Failure::Retry(error)) => Err(Retry(error)),
        Err(Failure::Park(reason)) => {
            tx.rollback().await?;
            let mut tx = db.begin().await?;
            if first_time(&mut tx, routes.consumer, &fact).await? {
                park(&mut tx, routes.consumer, &fact, "parked", &reason).await?;
            }
            tracing::error!(event = %fact.id, subject = fact.subject, consumer = routes.consumer, reason,
                "a fact is parked: look with `haiqu dead-letters`");
            Ok(db.commit(tx).await?)
        }
    }
}

async fn dispatch(tx: &mut PgConnection, routes: &Routes, fact: Fact) -> Result<(), Failure> {
    match routes.handlers.get(fact.subject.as_str()) {
        Some(handler) => {
            let handled = AssertUnwindSafe(async move { handler(tx, fact).await }).catch_unwind().await;
            // One fact that breaks its handler must not take the process down again and again.
            handled.unwrap_or_else(|_| Err(Failure::Park("its handler panicked: the log has the message".into())))
        }
        // A newer replica gave the consumer one more subject: it will hear the fact.
        None => Err(Failure::Retry("nobody here hears this subject".into())),
    }
}

/// Remembers the fact; false when it is known already. Waits for a replica that is applying it right now.
async fn first_time(tx: &mut PgConnection, consumer: &str, fact: &Fact) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into inbox (consumer, event_id, state, subject, aggregate_id) values ($1, $2, 'done', $3, $4)
         on conflict do nothing",
        consumer,
        fact.id,
        fact.subject,
        fact.aggregate
    );
    Ok(inserted.execute(tx).await?.rows_affected() == 1)
}

/// Remembers the facts, in their order; returns which were not known, or none when some wait behind a parked one.
async fn first_times(tx: &mut PgConnection, consumer: &str, facts: &[&Fact]) -> sqlx::Result<Option<HashSet<Uuid>>> {
    let ids: Vec<_> = facts.iter().map(|fact| fact.id).collect();
    let (subjects, aggregates): (Vec<_>, Vec<_>) =
        facts.iter().map(|fact| (fact.subject.clone(), fact.aggregate.clone())).unzip();
    let inserted = sqlx::query!(
        r#"insert into inbox as one (consumer, event_id, state, subject, aggregate_id)
           select $1, event_id, 'done', subject, aggregate_id
           from unnest($2::uuid[], $3::text[], $4::text[]) with ordinality as fact (event_id, subject, aggregate_id, number)
           order by number on conflict do nothing
           returning event_id, exists (select from inbox other where other.consumer = one.consumer
                                       and other.aggregate_id = one.aggregate_id and other.state <> 'done') as "waits!""#,
        consumer,
        &ids,
        &subjects,
        &aggregates
    );
    let inserted = inserted.fetch_all(tx).await?;
    let free = inserted.iter().all(|row| !row.waits);
    Ok(free.then(|| inserted.into_iter().map(|row| row.event_id).collect()))
}

/// How the facts about the same aggregate wait that this one must not overtake: `parked`, or `replay` when all of them are
/// about to be applied again, and this one after them.
async fn waiting(tx: &mut PgConnection, consumer: &str, fact: &Fact) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select min(state) from inbox where consumer = $1 and aggregate_id = $2 and state <> 'done'",
        consumer,
        fact.aggregate
    )
    .fetch_one(tx)
    .await
}

async fn park(tx: &mut PgConnection, consumer: &str, fact: &Fact, state: &str, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update inbox set state = $6, payload = $3, traceparent = $4, reason = $5
         where consumer = $1 and event_id = $2",
        consumer,
        fact.id,
        &fact.payload[..],
        fact.traceparent,
        reason,
        state
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of these facts the consumer has not handled yet.
pub async fn missing(db: &Db, consumer: &str, facts: Vec<Fact>) -> sqlx::Result<Vec<Fact>> {
    let ids: Vec<_> = facts.iter().map(|fact| fact.id).collect();
    let known =
        sqlx::query_scalar!("select event_id from inbox where consumer = $1 and event_id = any($2)", consumer, &ids)
            .fetch_all(&db.work())
            .await?;
    Ok(facts.into_iter().filter(|fact| !known.contains(&fact.id)).collect())
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
        r#"select event_id, subject, aggregate_id, payload as "payload!", traceparent, received_at
           from inbox next where consumer = $1 and state = 'replay' and not exists (
               select from inbox earlier where earlier.consumer = $1 and earlier.aggregate_id = next.aggregate_id
               and earlier.state = 'parked' and earlier.arrival < next.arrival)
           order by arrival limit 1 for update"#,
        routes.consumer
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = next else { return Ok(false) };
    let fact = Fact {
        id: row.event_id,
        subject: row.subject,
        aggregate: row.aggregate_id,
        payload: row.payload.into(),
        traceparent: row.traceparent,
        occurred_at: row.received_at,
        position: 0,
    };
    match dispatch(&mut tx, routes, fact.clone()).await {
        Ok(()) => {
            done(&mut tx, routes.consumer, &fact).await?;
            db.commit_heard(tx).await?;
        }
        Err(Failure::Retry(error)) => return Err(Retry(error)),
        Err(Failure::Park(reason)) => {
            tx.rollback().await?;
            park_all(db, routes.consumer, &fact, &reason).await?;
        }
    }
    Ok(true)
}

async fn done(tx: &mut PgConnection, consumer: &str, fact: &Fact) -> sqlx::Result<()> {
    sqlx::query!(
        "update inbox set state = 'done', payload = null, reason = null where consumer = $1 and event_id = $2",
        consumer,
        fact.id
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn park_all(db: &Db, consumer: &str, fact: &Fact, reason: &str) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query!(
        "update inbox set state = 'parked' where consumer = $1 and aggregate_id = $2 and state = 'replay'",
        consumer,
        fact.aggregate
    )
    .execute(&mut *tx)
    .await?;
    park(&mut tx, consumer, fact, "parked", reason).await?;
    tx.commit().await
}

/// Something is away; the fact is brought again.
#[derive(Debug, thiserror::Error)]
#[error("{}", Chain(self.0.as_ref()))]
pub struct Retry(Box<dyn std::error::Error + Send + Sync>);

impl From<sqlx::Error> for Retry {
    fn from(error: sqlx::Error) -> Retry {
        Retry(error.into())
    }
}
