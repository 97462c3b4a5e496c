//! Call tasks: opened with caller, callee and script; recorded by the person who called.

use chrono::TimeDelta;
use foundation::clock::Timestamp;
use foundation::db::{Chain, Session};
use foundation::outbox;
use futures::stream::{self, StreamExt as _};
use proto::notifications::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Operations, Resolved, receipts, together};
use crate::announcements::{self, Effect};
use crate::domain::{Card, Kind, Target, texts};
use crate::error::Error;
use crate::store::{self, Resolving};
use crate::views;

/// Look-ups under way at once, as many as there are for messages: after an outage both have the same backlog.
const AT_ONCE: usize = 32;

impl Operations {
    /// Opens tasks whose callee has to be looked up; says whether there may be more.
    pub async fn open_tasks(&self, session: &mut Session) -> Result<bool, Error> {
        let tasks = self.db.in_time(store::take_tasks(&self.db)).await?;
        let resolved = stream::iter(tasks).map(async |task: Resolving| {
            let callee = self.callee(&task).await;
            (task, callee)
        });
        let resolved: Vec<_> = resolved.buffer_unordered(AT_ONCE).collect().await;
        together(session, &resolved, |(task, _)| task.id, |tx, some| Box::pin(opened(tx, some))).await;
        Ok(i64::try_from(resolved.len()) == Ok(store::TASKS))
    }

    async fn callee(&self, task: &Resolving) -> Result<Resolved, Error> {
        let callee = Target::of(&task.callee).map_err(sqlx::Error::from)?;
        self.resolve(task.assignment_id, task.ladder_id, callee).await
    }
}

async fn opened(tx: &mut PgConnection, tasks: &[(Resolving, Result<Resolved, Error>)]) -> Result<(), Error> {
    for (task, resolved) in tasks {
        match resolved {
            Ok(resolved) => open(tx, task, resolved).await?,
            Err(error) => {
                tracing::warn!(effect = %task.id, error = %Chain(error), "a call task is opened later");
                store::task_again(tx, task.id, TimeDelta::milliseconds(250)).await?;
            }
        }
    }
    Ok(())
}

async fn open(tx: &mut PgConnection, task: &Resolving, resolved: &Resolved) -> Result<(), Error> {
    let card = task.card.as_deref().map(Card::of).transpose().map_err(sqlx::Error::from)?;
    let (kind, callee) = (Kind::of(&task.ladder_kind), Target::of(&task.callee));
    let (kind, callee) = (kind.map_err(sqlx::Error::from)?, callee.map_err(sqlx::Error::from)?);
    let (name, phone) = resolved.contact.as_ref().map(|contact| (&*contact.name, &*contact.phone)).unwrap_or_default();
    let script = texts::script(kind, card, callee, name, &resolved.matter);
    sqlx::query!(
        "update call_task set state = 'open', callee_name = $2, callee_phone = $3, script = $4,
                              opened_at = clock_timestamp()
         where id = $1 and state = 'resolving'",
        task.id,
        name,
        phone,
        script
    )
    .execute(&mut *tx)
    .await?;
    if phone.is_empty() {
        let text = texts::nobody(&resolved.matter.unit, callee);
        receipts::alarm(tx, task.id, "NO_CONTACT", task.assignment_id, &text).await?;
    }
    Ok(())
}

/// Records who called, when, and what was said.
pub async fn record(
    tx: &mut PgConnection,
    id: Uuid,
    caller: &str,
    at: Timestamp,
    said: &str,
) -> Result<wire::CallTask, Error> {
    let row = sqlx::query!(
        "select state, whistle_id, assignment_id, rung, callee from call_task where id = $1 for update",
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::NotFound(format!("call task {id}")))?;
    match row.state.as_str() {
        "open" => {}
        "recorded" => return Err(Error::Task("recorded")),
        "drill" => return Err(Error::Task("drill")),
        _ => return Err(Error::Task("resolving")),
    }
    sqlx::query!(
        "update call_task set state = 'recorded', caller_name = $2, called_at = $3, said = $4 where id = $1",
        id,
        caller,
        at,
        said
    )
    .execute(&mut *tx)
    .await?;
    let effect = Effect {
        id,
        whistle: row.whistle_id,
        assignment: row.assignment_id,
        rung: row.rung,
        target: Target::of(&row.callee).map_err(sqlx::Error::from)?,
    };
    outbox::announce(tx, vec![announcements::recorded(effect, at)]).await?;
    views::call_task(tx, id).await
}
