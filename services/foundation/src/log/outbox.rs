//! Publishing events: an outbox row in the transaction of the change that it tells of, and with it the row of history.
//!
//! Draw the row after the aggregate's row is locked: `outbox.id` then follows the aggregate's versions. [`assign_positions`] numbers
//! committed rows gap-free; cursors go by that position, never by `id`, which skips late committers.

use std::cell::Cell;

use proto::{Event, events};
use sqlx::PgConnection;
use uuid::Uuid;

use super::audience::Audiences;
use crate::base::{Actor, Context, id, trace};
use crate::data::column;
use crate::data::history::Entry;

/// As many are numbered at once, so that the lock is short.
const BATCH: i64 = 500;

/// An event on its way into the outbox.
#[derive(Debug)]
pub struct Announcement {
    event_id: Uuid,
    subject: &'static str,
    aggregate: String,
    version: i64,
    payload: Vec<u8>,
    audiences: String,
    traceparent: Option<String>,
    entry: Option<Entry>,
    actor: Actor,
}

impl Announcement {
    /// The event as it will be read, published and watched, done in this context, in the trace of the current span. It has no row of
    /// history: its own row is its history, or another event of the same change has one.
    pub fn of<E: Event>(event: E, audiences: &Audiences, context: &Context) -> Announcement {
        let actor = context.actor().clone();
        let event = event.by(events::v1::Actor { subject: actor.subject.clone(), role: actor.role.clone() });
        Announcement {
            event_id: id::new(),
            subject: E::SUBJECT,
            aggregate: event.aggregate().to_owned(),
            version: event.version(),
            payload: event.encode_to_vec(),
            audiences: audiences.text(),
            traceparent: trace::traceparent(),
            entry: None,
            actor,
        }
    }

    /// The same in this trace: of many events that are handled at once, each goes on in its own.
    pub fn in_trace(self, traceparent: Option<String>) -> Announcement {
        Announcement { traceparent, ..self }
    }

    /// The same with its row of history.
    pub fn with_history(self, kind: &'static str, data: serde_json::Value) -> Announcement {
        Announcement { entry: Some(Entry { kind, data }), ..self }
    }
}

tokio::task_local! {
    /// Whether this work has published something.
    static PUBLISHED: Cell<bool>;
}

/// Does this work, and tells whether it published something.
pub(super) async fn watched<T>(work: impl Future<Output = T>) -> (T, bool) {
    let work = async move { (work.await, PUBLISHED.with(Cell::get)) };
    PUBLISHED.scope(Cell::new(false), work).await
}

/// Writes the events in their order, and their history, in one statement.
pub async fn publish(tx: &mut PgConnection, announcements: Vec<Announcement>) -> sqlx::Result<()> {
    if announcements.is_empty() {
        return Ok(());
    }
    // Nobody watches most of it.
    let _ = PUBLISHED.try_with(|published| published.set(true));
    let all = &announcements;
    let past: Vec<_> = all.iter().filter_map(|one| Some((one, one.entry.as_ref()?))).collect();
    sqlx::query!(
        "with past as (
             insert into history (event_id, subject_id, version, at, actor, role, kind, data)
             select event_id, subject_id, version, clock_timestamp(), actor, role, kind, data
             from unnest($8::uuid[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::jsonb[])
                 as entry (event_id, subject_id, version, actor, role, kind, data))
         insert into outbox (event_id, subject, aggregate_id, version, payload, traceparent, audiences)
         select event_id, subject, aggregate_id, version, payload, traceparent, audiences
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::text[]) with ordinality
             as event (event_id, subject, aggregate_id, version, payload, traceparent, audiences, number)
         order by number",
        &column(all, |one| one.event_id),
        &column(all, |one| one.subject) as &[&str],
        &column(all, |one| one.aggregate.as_str()) as &[&str],
        &column(all, |one| one.version),
        &column(all, |one| one.payload.as_slice()) as &[&[u8]],
        &column(all, |one| one.traceparent.as_deref()) as &[Option<&str>],
        &column(all, |one| one.audiences.as_str()) as &[&str],
        &column(&past, |(one, _)| one.event_id),
        &column(&past, |(one, _)| one.aggregate.as_str()) as &[&str],
        &column(&past, |(one, _)| one.version),
        &column(&past, |(one, _)| one.actor.subject.as_str()) as &[&str],
        &column(&past, |(one, _)| one.actor.role.as_str()) as &[&str],
        &column(&past, |(_, entry)| entry.kind) as &[&str],
        &column(&past, |(_, entry)| entry.data.clone())
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Numbers all committed events. Any replica may do it at any time.
pub async fn assign_positions(connection: &mut PgConnection) -> sqlx::Result<()> {
    let numbered = async |connection: &mut PgConnection| {
        sqlx::query_scalar!(r#"select assigned as "assigned!" from assign_positions()"#).fetch_one(connection).await
    };
    while numbered(&mut *connection).await? == BATCH {}
    Ok(())
}
