//! Receipts arrive up to 72 h after a message was accepted. One that did not arrive goes to the unit's deputy contact, and
//! after that alarms the centre.

use foundation::db::Session;
use foundation::{clock, id};
use futures::stream::{self, StreamExt as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::hear::Rung;
use super::{Operations, together};
use crate::domain::{Kind, State, Target, fallback, texts};
use crate::error::Error;
use crate::gateway::Found;
use crate::store::{self, NewMessage};

/// Questions to the gateway under way at once.
const AT_ONCE: usize = 8;

impl Operations {
    /// Asks for receipts that are due, some at once; returns how many it asked for.
    pub async fn collect_receipts(&self, session: &mut Session) -> Result<usize, Error> {
        let awaited = self.db.in_time(store::awaited(&self.db)).await?;
        let asked = stream::iter(awaited).map(async |id| (id, self.gateway.find(id).await));
        let found: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
        together(session, &found, |(id, _)| *id, |tx, some| Box::pin(receipts(tx, some))).await;
        Ok(found.len())
    }
}

async fn receipts(tx: &mut PgConnection, found: &[(Uuid, Found)]) -> Result<(), Error> {
    // Not by a clock that has jumped: it would end the time in which receipts are asked for.
    clock::now(&mut *tx).await?;
    let mut delivered = Vec::new();
    for (id, found) in found {
        match found {
            Found::Delivered => delivered.push(*id),
            Found::Failed => {
                if store::undeliverable(&mut *tx, *id).await? {
                    not_reached(&mut *tx, *id, State::Failed).await?;
                }
            }
            Found::Accepted | Found::Absent | Found::Unknown => store::ask_later(&mut *tx, *id).await?,
        }
    }
    store::delivered(&mut *tx, &delivered).await?;
    Ok(())
}

/// What follows when a message reaches nobody.
pub(super) async fn not_reached(tx: &mut PgConnection, message: Uuid, state: State) -> Result<(), Error> {
    let row = sqlx::query!(
        "select whistle_id, assignment_id, ladder_id, ladder_kind, rung, text, target, due_at, check_after_ms, traceparent
         from message where id = $1",
        message
    )
    .fetch_one(&mut *tx)
    .await?;
    let target = Target::of(&row.target).map_err(sqlx::Error::from)?;
    if state == State::Failed
        && let Some((id, target)) = fallback(row.assignment_id, row.ladder_id, row.rung, target)
    {
        let rung = Rung {
            whistle: row.whistle_id,
            assignment: row.assignment_id,
            ladder: row.ladder_id,
            kind: Kind::of(&row.ladder_kind).map_err(sqlx::Error::from)?,
            number: row.rung,
            due_at: row.due_at,
            check_after_ms: row.check_after_ms,
            drill: false,
            asked: Vec::new(),
            traceparent: row.traceparent,
        };
        let next = NewMessage { rung: &rung, id, text: row.text, target, state: State::Queued };
        return Ok(store::add_messages(tx, &[next]).await?);
    }
    let (reason, text) = match state {
        State::NoContact => ("NO_CONTACT", texts::nobody("被吹哨单位", target)),
        _ => ("NOT_DELIVERED", texts::undelivered(target)),
    };
    alarm(tx, message, reason, row.assignment_id, &text).await
}

/// Raises an alarm once.
pub(super) async fn alarm(
    tx: &mut PgConnection,
    about: Uuid,
    reason: &str,
    assignment: Uuid,
    text: &str,
) -> Result<(), Error> {
    tracing::warn!(%assignment, reason, "alarm raised for the governance centre");
    sqlx::query!(
        "insert into alarm (id, list_id, reason, assignment_id, text) values ($1, $2, $3, $4, $5) on conflict (id) do nothing",
        id::named(about, &["alarm", reason]),
        id::new(),
        reason,
        assignment,
        text
    )
    .execute(tx)
    .await?;
    Ok(())
}
