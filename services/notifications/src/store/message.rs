//! Messages: written once, never changed. Their state is their delivery's.

use chrono::TimeDelta;
use foundation::base::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::column;
use crate::domain::Rung;
use crate::domain::message::Message;
use crate::domain::{Kind, Target};

/// Writes messages, each once.
pub async fn add(tx: &mut PgConnection, messages: &[Message]) -> sqlx::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into message (id, text, target, whistle_id, assignment_id, ladder_id, ladder_kind, rung, due_at, check_after_ms)
         select id, text, target, whistle_id, assignment_id, ladder_id, ladder_kind, rung, due_at, check_after_ms
         from unnest($1::uuid[], $2::int[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::int[],
                     $9::timestamptz[], $10::bigint[])
             as asked (id, text, target, whistle_id, assignment_id, ladder_id, ladder_kind, rung, due_at, check_after_ms)
         on conflict (id) do nothing",
        &column(messages, |one| one.id),
        &column(messages, |one| one.text),
        &column(messages, |one| one.target.word()) as &[&str],
        &column(messages, |one| one.rung.whistle),
        &column(messages, |one| one.rung.assignment),
        &column(messages, |one| one.rung.ladder),
        &column(messages, |one| one.rung.kind.word()) as &[&str],
        &column(messages, |one| one.rung.number),
        &column(messages, |one| one.rung.due_at),
        &column(messages, |one| one.rung.check_after.num_milliseconds())
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A message that is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// What it is.
    pub message: Message,
    /// A later reminder of the same ladder to the same role exists.
    pub overtaken: bool,
    /// What Postgres's clock shows.
    pub now: Timestamp,
}

/// These.
pub async fn load(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Loaded>> {
    let rows = sqlx::query!(
        r#"select id, whistle_id, assignment_id, ladder_id, ladder_kind as "kind: Kind", rung, text,
                  target as "target: Target", due_at, check_after_ms,
                  exists (select from message later where later.assignment_id = m.assignment_id
                          and later.ladder_id = m.ladder_id and later.target = m.target
                          and later.rung > m.rung) as "overtaken!",
                  clock_timestamp() as "now!"
           from message m where id = any($1)"#,
        ids
    );
    let loaded = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let rung = Rung {
            whistle: row.whistle_id,
            assignment: row.assignment_id,
            ladder: row.ladder_id,
            kind: row.kind,
            number: row.rung,
            due_at: row.due_at,
            check_after: TimeDelta::milliseconds(row.check_after_ms),
            drill: false,
        };
        let message = Message { id: row.id, rung, text: row.text, target: row.target };
        Loaded { message, overtaken: row.overtaken, now: row.now }
    });
    Ok(loaded.collect())
}
