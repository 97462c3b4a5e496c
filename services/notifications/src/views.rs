//! SQL that only reads, for whoever asks.

use foundation::clock::{Timestamp, to_wire};
use proto::common::v1 as common;
use proto::notifications::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements::target;
use crate::domain::{Card, State, Target, Task};
use crate::error::Error;

/// Messages of an assignment, oldest first.
pub async fn messages(tx: &mut PgConnection, assignment: Uuid) -> Result<Vec<wire::Message>, Error> {
    let rows =
        sqlx::query!("select * from message where assignment_id = $1 order by due_at, target limit 500", assignment)
            .fetch_all(tx)
            .await?;
    let read = rows.into_iter().map(|row| {
        Ok(wire::Message {
            effect_id: row.id.to_string(),
            assignment_id: row.assignment_id.to_string(),
            rung: row.rung,
            target: target(Target::of(&row.target).map_err(sqlx::Error::from)?).into(),
            state: state(State::of(&row.state).map_err(sqlx::Error::from)?).into(),
            due_at: Some(to_wire(row.due_at)),
            accept_time: row.accepted_at.map(to_wire),
            deliver_time: row.delivered_at.map(to_wire),
            late_by_ms: row.accepted_at.map_or(0, |accepted| (accepted - row.due_at).num_milliseconds()),
            masked_phone: row.masked_phone.unwrap_or_default(),
        })
    });
    read.collect()
}

/// One call task.
pub async fn call_task(tx: &mut PgConnection, id: Uuid) -> Result<wire::CallTask, Error> {
    let tasks = call_tasks(tx, Some(id), None, Uuid::max(), 1).await?;
    tasks.into_iter().next().map(|(_, task)| task).ok_or_else(|| Error::NotFound(format!("call task {id}")))
}

/// Call tasks, newest first, each with its place in the list; none to be made while a restore is held: some were.
pub async fn call_tasks(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    asked: Option<Task>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, wire::CallTask)>, Error> {
    let rows = sqlx::query!(
        "select * from call_task where state <> 'resolving' and ($1::uuid is null or id = $1)
         and not (state = 'open' and $1 is null and (select held_at is not null from log_head))
         and ($2::text is null or state = $2) and list_id < $3 order by list_id desc limit $4",
        only,
        asked.map(Task::word),
        before,
        limit
    )
    .fetch_all(tx)
    .await?;
    let read = rows.into_iter().map(|row| {
        let record = row.called_at.map(|at| record(at, row.caller_name, row.said));
        let card = row.card.as_deref().map(Card::of).transpose().map_err(sqlx::Error::from)?;
        let task = wire::CallTask {
            call_task_id: row.id.to_string(),
            whistle_id: row.whistle_id.to_string(),
            assignment_id: row.assignment_id.to_string(),
            rung: row.rung,
            card: self::card(card).into(),
            caller: target(Target::of(&row.caller).map_err(sqlx::Error::from)?).into(),
            callee: target(Target::of(&row.callee).map_err(sqlx::Error::from)?).into(),
            callee_name: row.callee_name.unwrap_or_default(),
            callee_phone: row.callee_phone.unwrap_or_default(),
            script: row.script.unwrap_or_default(),
            state: task(Task::of(&row.state).map_err(sqlx::Error::from)?).into(),
            due_at: Some(to_wire(row.due_at)),
            late_by_ms: row.opened_at.map_or(0, |opened| (opened - row.due_at).num_milliseconds()),
            record,
        };
        Ok((row.list_id, task))
    });
    read.collect()
}

/// Alarms, newest first, each with its place in the list.
pub async fn alarms(tx: &mut PgConnection, before: Uuid, limit: i64) -> Result<Vec<(Uuid, wire::Alarm)>, Error> {
    let rows = sqlx::query!("select * from alarm where list_id < $1 order by list_id desc limit $2", before, limit)
        .fetch_all(tx)
        .await?;
    let alarms = rows.into_iter().map(|row| {
        let alarm = wire::Alarm {
            alarm_id: row.id.to_string(),
            reason: row.reason,
            assignment_id: row.assignment_id.to_string(),
            text: row.text,
            create_time: Some(to_wire(row.created_at)),
        };
        (row.list_id, alarm)
    });
    Ok(alarms.collect())
}

fn record(at: Timestamp, caller: Option<String>, said: Option<String>) -> wire::CallRecord {
    let (caller_name, said) = (caller.unwrap_or_default(), said.unwrap_or_default());
    wire::CallRecord { caller_name, call_time: Some(to_wire(at)), said }
}

fn card(card: Option<Card>) -> common::Card {
    match card {
        Some(Card::Yellow) => common::Card::Yellow,
        Some(Card::Red) => common::Card::Red,
        None => common::Card::Unspecified,
    }
}

fn state(state: State) -> wire::MessageState {
    match state {
        State::Queued => wire::MessageState::Queued,
        State::Sending => wire::MessageState::Sending,
        State::Accepted => wire::MessageState::Accepted,
        State::Delivered => wire::MessageState::Delivered,
        State::Failed => wire::MessageState::Failed,
        State::Superseded => wire::MessageState::Superseded,
        State::NoContact => wire::MessageState::NoContact,
        State::Drill => wire::MessageState::Drill,
    }
}

fn task(task: Task) -> wire::CallTaskState {
    match task {
        Task::Resolving => wire::CallTaskState::Unspecified,
        Task::Open => wire::CallTaskState::Open,
        Task::Recorded => wire::CallTaskState::Recorded,
        Task::Drill => wire::CallTaskState::Drill,
    }
}
