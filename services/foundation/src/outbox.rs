//! Stating facts: an outbox row in the transaction of the change it tells of.
//!
//! Draw the row after the aggregate's row is locked: `outbox.id` then follows the aggregate's versions. [`place`] numbers
//! committed rows gap-free; cursors go by that position, never by `id`, which skips late committers.

use std::cell::Cell;

use proto::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{id, telemetry};

/// As many are numbered at once, so that the lock is short.
const BATCH: i64 = 500;

/// A fact on its way into the outbox.
#[derive(Debug)]
pub struct Announcement {
    event_id: Uuid,
    subject: &'static str,
    aggregate: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
}

impl Announcement {
    /// The fact as it will be read and published, in the trace of the current span.
    pub fn of<E: Event>(event: &E) -> Announcement {
        Announcement {
            event_id: id::new(),
            subject: E::SUBJECT,
            aggregate: event.aggregate().to_owned(),
            payload: event.encode_to_vec(),
            traceparent: telemetry::traceparent(),
        }
    }
}

tokio::task_local! {
    /// Whether this work has stated something.
    static STATED: Cell<bool>;
}

/// Does this work, and says whether it stated something.
pub(crate) async fn watched<T>(work: impl Future<Output = T>) -> (T, bool) {
    let work = async move { (work.await, STATED.with(Cell::get)) };
    STATED.scope(Cell::new(false), work).await
}

/// Writes the facts in their order, in one statement.
pub async fn announce(tx: &mut PgConnection, facts: Vec<Announcement>) -> sqlx::Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    // Nobody watches most of it.
    let _ = STATED.try_with(|stated| stated.set(true));
    let (mut ids, mut subjects, mut aggregates, mut payloads, mut traces) = (vec![], vec![], vec![], vec![], vec![]);
    for fact in facts {
        ids.push(fact.event_id);
        subjects.push(fact.subject.to_owned());
        aggregates.push(fact.aggregate);
        payloads.push(fact.payload);
        traces.push(fact.traceparent);
    }
    sqlx::query!(
        "insert into outbox (event_id, subject, aggregate_id, payload, traceparent)
         select event_id, subject, aggregate_id, payload, traceparent
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[]) with ordinality
             as fact (event_id, subject, aggregate_id, payload, traceparent, number)
         order by number",
        &ids,
        &subjects,
        &aggregates,
        &payloads,
        &traces as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Numbers all committed facts. Any replica may do it at any time.
pub async fn place(connection: &mut PgConnection) -> sqlx::Result<()> {
    while sqlx::query_scalar!(r#"select placed as "placed!" from place()"#).fetch_one(&mut *connection).await? == BATCH
    {
    }
    Ok(())
}
