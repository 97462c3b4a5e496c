//! The subscriber's side of catch-up: what NATS did not bring is read from the publishing service's log.
//!
//! Every few seconds a consumer reads what is past its watermark and older than a grace time (younger events are still on
//! their way over NATS) and applies what its inbox lacks. So everything arrives, once in effect, with NATS dead, wiped or
//! rolled back.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use proto::events::v1::{LoggedEvent, ReadRequest, ReadResponse};

use super::bus::Bus;
use super::envelope::Envelope;
use super::inbox::{self, Outcome};
use super::routes::Routes;
use crate::base::config::Peers;
use crate::base::{Stop, time};
use crate::call::auth::Credentials;
use crate::call::client::{self, Peer};
use crate::data::flush::Server;
use crate::data::{Db, clock};

/// How often a log is read.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long NATS has to bring a event before it is looked for.
const GRACE: TimeDelta = TimeDelta::seconds(2);
const LIMIT: i32 = 500;

/// One log that a consumer reads.
#[derive(Clone)]
pub struct Source {
    /// Name of the publishing service.
    pub name: String,
    /// Where its log is served.
    pub peer: Peer,
}

/// The logs that these routes subscribe to, with their addresses. Fails when the configuration lacks one.
pub fn sources(routes: &Routes, peers: &Peers, credentials: &Credentials) -> anyhow::Result<Vec<Source>> {
    let mut names: Vec<_> = routes.subjects().filter_map(|subject| subject.split('.').nth(1)).collect();
    names.dedup();
    let source = |name: &str| Ok(Source { name: name.to_owned(), peer: client::peer(name, peers, credentials)? });
    names.into_iter().map(source).collect()
}

/// Reads one log until told to stop.
pub async fn run(db: Db, bus: Bus, routes: Routes, source: Source, stop: Stop) -> anyhow::Result<()> {
    let mut failing = false;
    while !stop.requested() {
        let caught_up = tokio::spawn(pass(db.clone(), bus.clone(), routes.clone(), source.clone())).await;
        match caught_up.unwrap_or_else(|panic| Err(panic.into())) {
            Ok(true) => continue,
            Ok(false) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(source = source.name, error = %format!("{error:#}"), "cannot catch up now");
            }
            Err(_) => {}
        }
        stop.pause(INTERVAL).await;
    }
    Ok(())
}

/// Reads and applies one page; true when there is more to read at once.
async fn pass(db: Db, bus: Bus, routes: Routes, source: Source) -> anyhow::Result<bool> {
    // A dead letter that cannot be replayed now holds up nobody else.
    if let Err(error) = inbox::replay(&db, &routes).await {
        tracing::warn!(%error, "parked events are replayed later");
    }
    let began = Instant::now();
    let (mark, server) = db.in_time(watermark(&db, routes.consumer, &source.name)).await?;
    let request = ReadRequest {
        consumer: routes.consumer.into(),
        log_id: mark.log_id.clone(),
        after: mark.after,
        limit: LIMIT,
        subjects: routes.subjects().map(str::to_owned).collect(),
    };
    let ReadResponse { log_id, events, next, .. } = source.peer.event_log().read(request).await?.into_inner();
    let now = db.in_time(async { clock::now(&mut *db.work().acquire().await?).await }).await?;
    let grace = if bus.connected() { GRACE } else { TimeDelta::zero() };
    let read = events.len();
    let ripe: Vec<Envelope> =
        events.into_iter().filter_map(envelope).take_while(|event| event.occurred_at + grace <= now).collect();
    let (all, last) = (ripe.len() == read, ripe.last().map(|event| event.position));
    let reached = match apply(&db, &routes, ripe).await? {
        Some(stuck) => Some(stuck - 1),
        None if all => Some(next),
        None => last,
    };
    let moved = reached.map(|after| Watermark { log_id, after }).filter(|moved| *moved != mark);
    if let Some(moved) = moved {
        // What is behind the watermark never comes again: it must not be undone any more, nor what the inbox had already.
        db.flushed(server, began).await?;
        db.in_time(advance(&db, routes.consumer, &source.name, &mark, &moved)).await?;
    }
    Ok(reached == Some(next) && read == usize::try_from(LIMIT)?)
}

/// Applies what the inbox lacks; returns the position of the first event that must come again. It holds up no other of its page.
async fn apply(db: &Db, routes: &Routes, events: Vec<Envelope>) -> sqlx::Result<Option<i64>> {
    let mut stuck = None;
    let missing = db.in_time(inbox::missing(db, routes.consumer, events)).await?;
    let mut session = db.session();
    for batch in missing.chunks(inbox::BATCH) {
        let outcomes = inbox::apply_all(&mut session, routes, batch).await;
        let again = batch.iter().zip(outcomes).find(|(_, outcome)| *outcome == Outcome::Retry);
        stuck = stuck.or(again.map(|(event, _)| event.position));
    }
    Ok(stuck)
}

fn envelope(event: LoggedEvent) -> Option<Envelope> {
    let event = Envelope {
        id: event.event_id.parse().ok()?,
        subject: event.subject,
        aggregate: event.aggregate_id,
        payload: event.payload,
        traceparent: Some(event.traceparent).filter(|text| !text.is_empty()),
        occurred_at: time::from_wire(&event.occurred_time?)?,
        position: event.position,
    };
    Some(event)
}

#[derive(Debug, PartialEq)]
struct Watermark {
    log_id: String,
    after: i64,
}

/// And the server that has it.
async fn watermark(db: &Db, consumer: &str, source: &str) -> sqlx::Result<(Watermark, Server)> {
    let row = sqlx::query!(
        r#"select coalesce(log_id, '') as "log_id!", coalesce(after, -1) as "after!", pg_postmaster_start_time() as "server!"
           from (values (1)) as one left join catchup on consumer = $1 and source = $2"#,
        consumer,
        source
    );
    let row = row.fetch_one(&db.work()).await?;
    Ok((Watermark { log_id: row.log_id, after: row.after }, row.server))
}

/// Moves the watermark from where it was read, unless another replica has moved it meanwhile.
async fn advance(db: &Db, consumer: &str, source: &str, from: &Watermark, to: &Watermark) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into catchup as mark (consumer, source, log_id, after) values ($1, $2, $3, $4)
         on conflict (consumer, source) do update set log_id = excluded.log_id, after = excluded.after
         where mark.log_id = $5 and mark.after = $6",
        consumer,
        source,
        to.log_id,
        to.after,
        from.log_id,
        from.after
    )
    .execute(&db.work())
    .await?;
    Ok(())
}
