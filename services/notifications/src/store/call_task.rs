//! Call tasks.

use chrono::TimeDelta;
use foundation::base::{Scope, Timestamp, id};
use sqlx::PgConnection;
use uuid::Uuid;

use super::column;
use crate::domain::Rung;
use crate::domain::call_task::{Asked, CallTask, Record};
use crate::domain::{CallTaskState, Card, Kind, Target};
use crate::error::Error;

/// Writes down what rungs ask for, each once; the desk does not see it before it is opened.
pub async fn add(tx: &mut PgConnection, asked: &[Asked]) -> sqlx::Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into call_task (id, whistle_id, assignment_id, ladder_id, rung, card, caller, callee, state, due_at, list_id,
                                ladder_kind)
         select id, whistle_id, assignment_id, ladder_id, rung, card, caller, callee,
                case when drill then 'drill' else 'asked' end, due_at, list_id, ladder_kind
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::text[], $8::text[],
                     $9::bool[], $10::timestamptz[], $11::uuid[], $12::text[])
             as asked (id, whistle_id, assignment_id, ladder_id, rung, card, caller, callee, drill, due_at, list_id, ladder_kind)
         on conflict (id) do nothing",
        &column(asked, |one| one.id),
        &column(asked, |one| one.rung.whistle),
        &column(asked, |one| one.rung.assignment),
        &column(asked, |one| one.rung.ladder),
        &column(asked, |one| one.rung.number),
        &column(asked, |one| one.card.map(Card::word)) as &[Option<&str>],
        &column(asked, |one| one.caller.word()) as &[&str],
        &column(asked, |one| one.callee.word()) as &[&str],
        &column(asked, |one| one.rung.drill),
        &column(asked, |one| one.rung.due_at),
        &column(asked, |_| id::new()),
        &column(asked, |one| one.rung.kind.word()) as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// These, as rungs asked for them.
pub async fn asked(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Asked>> {
    let rows = sqlx::query!(
        r#"select id, whistle_id, assignment_id, ladder_id, ladder_kind as "kind: Kind", rung, card as "card: Card",
                  caller as "caller: Target", callee as "callee: Target", due_at
           from call_task where id = any($1)"#,
        ids
    );
    let asked = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let rung = Rung {
            whistle: row.whistle_id,
            assignment: row.assignment_id,
            ladder: row.ladder_id,
            kind: row.kind,
            number: row.rung,
            due_at: row.due_at,
            check_after: TimeDelta::zero(),
            drill: false,
        };
        Asked { id: row.id, rung, card: row.card, caller: row.caller, callee: row.callee }
    });
    Ok(asked.collect())
}

/// A task whose callee is known.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The effect's id.
    pub id: Uuid,
    /// Who holds the role; empty for nobody.
    pub callee_name: String,
    /// What to dial; empty for nobody.
    pub callee_phone: String,
    /// What to say.
    pub script: String,
    /// When the desk could see it.
    pub at: Timestamp,
}

/// Opens tasks.
pub async fn open(tx: &mut PgConnection, opened: &[Opened]) -> sqlx::Result<()> {
    if opened.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update call_task set state = 'open', version = 1, callee_name = opened.name, callee_phone = opened.phone,
                              script = opened.script, opened_at = opened.at
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) as opened (id, name, phone, script, at)
         where call_task.id = opened.id and state = 'asked'",
        &column(opened, |one| one.id),
        &column(opened, |one| one.callee_name.as_str()) as &[&str],
        &column(opened, |one| one.callee_phone.as_str()) as &[&str],
        &column(opened, |one| one.script.as_str()) as &[&str],
        &column(opened, |one| one.at)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A task, locked, and what Postgres's clock shows once it is.
pub async fn load(tx: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<(CallTask, Timestamp), Error> {
    let row = sqlx::query!(
        r#"select id, whistle_id, assignment_id, rung, callee as "callee: Target", state as "state: CallTaskState", version
           from call_task where id = $1 and state <> 'asked' and $2 for update"#,
        id,
        scope.all()
    );
    let row = row.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::not_found("call task", id))?;
    let task = CallTask {
        id: row.id,
        whistle: row.whistle_id,
        assignment: row.assignment_id,
        rung: row.rung,
        callee: row.callee,
        state: row.state,
        version: row.version,
    };
    Ok((task, foundation::data::clock::now(tx).await?))
}

/// Saves a task whose call was recorded.
pub async fn save(tx: &mut PgConnection, task: &CallTask, record: &Record) -> sqlx::Result<()> {
    sqlx::query!(
        "update call_task set state = $2, version = $3, caller_name = $4, called_at = $5, said = $6 where id = $1",
        task.id,
        task.state.word(),
        task.version,
        record.caller_name,
        record.called_at,
        record.said
    )
    .execute(tx)
    .await?;
    Ok(())
}
