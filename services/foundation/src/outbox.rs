//! Stating facts: an outbox row in the transaction of the change it tells of.
//!
//! Draw the row after the aggregate's row is locked: `outbox.id` then follows the aggregate's versions. [`place`] numbers
//! committed rows gap-free; cursors go by that position, never by `id`, which skips late committers.

use proto::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::Db;
use crate::{id, telemetry};

/// A fact on its way into the outbox.
#[derive(Debug)]
pub struct Announcement {
    event_id: Uuid,
    subject: &'static str,
    aggregate: String,
    payload: Vec<u8>,
}

impl Announcement {
    /// The fact as it will be read and published.
    pub fn of<E: Event>(event: &E) -> Announcement {
        let aggregate = event.aggregate().to_owned();
        Announcement { event_id: id::new(), subject: E::SUBJECT, aggregate, payload: event.encode_to_vec() }
    }
}

/// Writes the facts in their order, in one statement.
pub async fn announce(tx: &mut PgConnection, facts: Vec<Announcement>) -> sqlx::Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let traceparent = telemetry::traceparent();
    let (mut ids, mut subjects, mut aggregates, mut payloads) = (vec![], vec![], vec![], vec![]);
    for fact in facts {
        ids.push(fact.event_id);
        subjects.push(fact.subject.to_owned());
        aggregates.push(fact.aggregate);
        payloads.push(fact.payload);
    }
    sqlx::query!(
        "insert into outbox (event_id, subject, aggregate_id, payload, traceparent)
         select event_id, subject, aggregate_id, payload, $5
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) with ordinality
             as fact (event_id, subject, aggregate_id, payload, number)
         order by number",
        &ids,
        &subjects,
        &aggregates,
        &payloads,
        traceparent
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Numbers all committed facts. Any replica may do it at any time.
pub async fn place(db: &Db) -> sqlx::Result<()> {
    loop {
        let place = sqlx::query!(r#"select place() as "placed!", position from log_head"#);
        let head = db.in_time(place.fetch_one(&db.work)).await?;
        if head.placed == 0 {
            db.witness.advanced(head.position);
            return Ok(());
        }
    }
}
