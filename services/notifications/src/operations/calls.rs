//! Call tasks: opened with caller, callee and script; recorded by the person who called.

use chrono::TimeDelta;
use foundation::clock::Timestamp;
use foundation::db::Chain;
use foundation::outbox;
use proto::notifications::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Operations, Resolved, receipts};
use crate::announcements::{self, Effect};
use crate::domain::{Card, Kind, Target, texts};
use crate::error::Error;
use crate::store::{self, Resolving};
use crate::views;

impl Operations {
    /// Opens tasks whose callee has to be looked up; returns how many it took.
    pub async fn open_tasks(&self) -> Result<usize, Error> {
        let tasks = self.db.in_time(store::take_tasks(&self.db)).await?;
        for task in &tasks {
            if let Err(error) = self.open(task).await {
                tracing::warn!(effect = %task.id, error = %Chain(&error), "a call task is opened later");
                self.db.in_time(store::task_again(&self.db, task.id, TimeDelta::milliseconds(250))).await?;
            }
        }
        Ok(tasks.len())
    }

    async fn open(&self, task: &Resolving) -> Result<(), Error> {
        let callee = Target::of(&task.callee).map_err(sqlx::Error::from)?;
        let resolved = self.resolve(task.assignment_id, task.ladder_id, callee).await?;
        self.db.in_time(self.opened(task, callee, resolved)).await
    }

    async fn opened(&self, task: &Resolving, callee: Target, resolved: Resolved) -> Result<(), Error> {
        let card = task.card.as_deref().map(Card::of).transpose().map_err(sqlx::Error::from)?;
        let kind = Kind::of(&task.ladder_kind).map_err(sqlx::Error::from)?;
        let (name, phone) = resolved.contact.map(|contact| (contact.name, contact.phone)).unwrap_or_default();
        let script = texts::script(kind, card, callee, &name, &resolved.matter);
        let mut tx = self.db.begin().await?;
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
            receipts::alarm(&mut tx, task.id, "NO_CONTACT", task.assignment_id, &text).await?;
        }
        Ok(self.db.commit(tx).await?)
    }
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
