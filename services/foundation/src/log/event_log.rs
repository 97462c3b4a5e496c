//! The serving side of catch-up: every service answers `EventLogService.Read` from its outbox.

use std::sync::Arc;

use proto::events::v1::event_log_service_server::{EventLogService, EventLogServiceServer};
use proto::events::v1::{LoggedEvent, ReadRequest, ReadResponse};
use proto::topology;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use super::outbox;
use crate::base::{Chain, time};
use crate::call::Call;
use crate::call::status::internal;
use crate::data::{Db, Session, restore};

/// Serves the log of one service.
#[derive(Debug, Clone)]
pub struct EventLog {
    db: Db,
    numbering: Arc<Mutex<Session>>,
    publisher: &'static str,
}

impl EventLog {
    /// The gRPC service for this publisher's log.
    pub fn server(db: Db, publisher: &'static str) -> EventLogServiceServer<EventLog> {
        let numbering = Arc::new(Mutex::new(db.flushed_session()));
        EventLogServiceServer::new(EventLog { db, numbering, publisher })
    }

    async fn read_after(&self, request: &ReadRequest, limit: i64) -> sqlx::Result<ReadResponse> {
        if let Ok(mut session) = self.numbering.clone().try_lock_owned() {
            tokio::spawn(async move {
                if let Err(error) = session.db.clone().in_time(number_forgotten(&mut session)).await {
                    tracing::warn!(error = %Chain(&error), "forgotten events wait for the relay");
                }
            });
        }
        let mut tx = self.db.begin().await?;
        let head = sqlx::query!("select log_id, position from log_head").fetch_one(&mut *tx).await?;
        self.db.log_reached(head.position);
        let mut log_id = head.log_id.to_string();
        if request.log_id == log_id && request.after > head.position {
            log_id = restore::renew(&mut tx).await?.to_string();
        }
        let known = request.log_id.is_empty() || request.log_id == log_id;
        // Another log: the subscriber rereads everything and its inbox sorts it out.
        let after = if known { request.after } else { 0 };
        let confirmed = confirm(&mut tx, &request.consumer, after).await?;
        let after = if after < 0 { confirmed } else { after };
        let given = topology::subjects(self.publisher, &request.consumer).into_iter().map(str::to_owned);
        let taken = |subject: &String| request.subjects.is_empty() || request.subjects.contains(subject);
        let (subjects, withheld): (Vec<_>, Vec<_>) = given.partition(taken);
        let events = events(&mut tx, after, &subjects, limit).await?;
        let barred = first(&mut tx, after, &withheld).await?;
        tx.commit().await?;
        let full = i64::try_from(events.len()).is_ok_and(|events| events == limit);
        let next = events.last().filter(|_| full).map_or(head.position, |event| event.position);
        let next = barred.map_or(next, |barred| next.min(barred - 1));
        Ok(ReadResponse { log_id, head: head.position, events, next })
    }
}

/// Events are numbered by the relays, which publish what they number. Where these hang, the log must not: then it is done here, aside, for
/// whoever reads does not wait. Nothing to do while somebody does it.
async fn number_forgotten(session: &mut Session) -> sqlx::Result<()> {
    let mut connection = session.take().await?;
    let forgotten = sqlx::query_scalar!(
        r#"select exists (select from outbox where position is null
                             and occurred_at not between clock_timestamp() - interval '1 s' and clock_timestamp())
                  and pg_try_advisory_xact_lock('log_head'::regclass::oid::int, 0) as "any!""#
    );
    if forgotten.fetch_one(&mut connection).await? {
        outbox::assign_positions(&mut connection).await?;
    }
    session.keep(connection);
    Ok(())
}

async fn events(tx: &mut PgConnection, after: i64, subjects: &[String], limit: i64) -> sqlx::Result<Vec<LoggedEvent>> {
    let rows = sqlx::query!(
        r#"select position as "position!", event_id, subject, aggregate_id, payload, occurred_at, traceparent
           from outbox where position > $1 and subject = any($2) order by position limit $3"#,
        after,
        subjects,
        limit
    )
    .fetch_all(tx)
    .await?;
    let events = rows.into_iter().map(|row| LoggedEvent {
        position: row.position,
        event_id: row.event_id.to_string(),
        subject: row.subject,
        aggregate_id: row.aggregate_id,
        payload: row.payload.into(),
        occurred_time: Some(time::to_wire(row.occurred_at)),
        traceparent: row.traceparent.unwrap_or_default(),
    });
    Ok(events.collect())
}

/// Position of the first event of these subjects. A newer replica of the reader handles them: the watermark that they share waits
/// for it.
async fn first(tx: &mut PgConnection, after: i64, subjects: &[String]) -> sqlx::Result<Option<i64>> {
    if subjects.is_empty() {
        return Ok(None);
    }
    let first = sqlx::query_scalar!(
        "select min(position) from outbox where position > $1 and subject = any($2)",
        after,
        subjects
    );
    first.fetch_one(tx).await
}

/// Everything up to `after` was handled by the consumer; returns what it has confirmed by now.
async fn confirm(tx: &mut PgConnection, consumer: &str, after: i64) -> sqlx::Result<i64> {
    let confirmed = sqlx::query!(
        r#"update consumer set seen_at = clock_timestamp(),
               confirmed = case when $2::bigint < 0 then confirmed else $2::bigint end
           where name = $1 returning confirmed"#,
        consumer,
        after
    );
    Ok(confirmed.fetch_one(tx).await?.confirmed)
}

/// Makes the consumers that the topology names known to the log; a new one starts at "now", which a crash of the server must not move.
pub async fn register_consumers(db: &Db, publisher: &'static str) -> sqlx::Result<()> {
    db.insist(|db| async move {
        let names: Vec<String> = topology::consumers(publisher).into_iter().map(str::to_owned).collect();
        let mut connection = db.flushed_session().take().await?;
        let insert = sqlx::query!(
            "insert into consumer (name, confirmed) select name, position from unnest($1::text[]) as name, log_head
             on conflict do nothing",
            &names
        );
        insert.execute(&mut connection).await.map(drop)
    })
    .await
}

#[tonic::async_trait]
impl EventLogService for EventLog {
    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let call = Call::of(request)?;
        call.parse(|violations, request| {
            violations.require(
                topology::consumers(self.publisher).contains(&request.consumer.as_str()),
                "consumer",
                "is not a consumer of this service in the topology",
            );
            violations.require((0..=1000).contains(&request.limit), "limit", "must be 1 to 1000, or 0 for 500");
            violations.require(request.subjects.len() <= 100, "subjects", "must be at most 100");
            violations.require(request.after >= -1, "after", "must be a position, 0, or -1");
        })?;
        if call.context().caller.subject != call.message.consumer {
            return Err(Status::permission_denied("a service reads logs for itself only"));
        }
        let request = call.message;
        let limit = if request.limit == 0 { 500 } else { i64::from(request.limit) };
        let db = self.clone();
        // A task of its own: a client that goes away must not cancel a transaction half-way.
        let read = tokio::spawn(async move { db.db.in_time(db.read_after(&request, limit)).await }).await;
        read.map_err(internal)?.map(Response::new).map_err(internal)
    }
}
