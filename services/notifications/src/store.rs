//! SQL that decides.

use std::time::Instant;

use chrono::TimeDelta;
use foundation::clock::{self, Timestamp};
use foundation::db::Db;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Card, Kind, State, Target, Task};
use crate::error::Error;
use crate::operations::hear::Rung;
use crate::operations::sending::Taken;

/// A message to be written down.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'r> {
    /// What asks for it.
    pub rung: &'r Rung,
    /// The effect's name.
    pub id: Uuid,
    /// Which text.
    pub text: i32,
    /// To whom.
    pub target: Target,
    /// Where it starts.
    pub state: State,
}

/// A column of what is written down.
fn column<T, V>(of: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}

/// Writes messages down, each once.
pub async fn add_messages(tx: &mut PgConnection, messages: &[NewMessage<'_>]) -> sqlx::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into message (id, text, target, state, traceparent, whistle_id, assignment_id, ladder_id, ladder_kind, rung,
                              due_at, check_after_ms)
         select * from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[],
                              $9::text[], $10::int[], $11::timestamptz[], $12::bigint[])
         on conflict (id) do nothing",
        &column(messages, |one| one.id),
        &column(messages, |one| one.text),
        &column(messages, |one| one.target.word().to_owned()),
        &column(messages, |one| one.state.word().to_owned()),
        &column(messages, |one| one.rung.traceparent.clone()) as &[Option<String>],
        &column(messages, |one| one.rung.whistle),
        &column(messages, |one| one.rung.assignment),
        &column(messages, |one| one.rung.ladder),
        &column(messages, |one| one.rung.kind.word().to_owned()),
        &column(messages, |one| one.rung.number),
        &column(messages, |one| one.rung.due_at),
        &column(messages, |one| one.rung.check_after_ms)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A call task to be written down.
#[derive(Debug, Clone, Copy)]
pub struct NewTask<'r> {
    /// What asks for it.
    pub rung: &'r Rung,
    /// The effect's name.
    pub id: Uuid,
    /// The card it goes with.
    pub card: Option<Card>,
    /// Who calls.
    pub caller: Target,
    /// Who is called.
    pub callee: Target,
    /// Where it starts.
    pub state: Task,
}

/// Writes call tasks down, each once.
pub async fn add_tasks(tx: &mut PgConnection, tasks: &[NewTask<'_>]) -> sqlx::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into call_task (id, whistle_id, assignment_id, ladder_id, rung, card, caller, callee, state, due_at,
                                list_id, ladder_kind)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::text[], $8::text[],
                              $9::text[], $10::timestamptz[], $11::uuid[], $12::text[])
         on conflict (id) do nothing",
        &column(tasks, |one| one.id),
        &column(tasks, |one| one.rung.whistle),
        &column(tasks, |one| one.rung.assignment),
        &column(tasks, |one| one.rung.ladder),
        &column(tasks, |one| one.rung.number),
        &column(tasks, |one| one.card.map(|card| card.word().to_owned())) as &[Option<String>],
        &column(tasks, |one| one.caller.word().to_owned()),
        &column(tasks, |one| one.callee.word().to_owned()),
        &column(tasks, |one| one.state.word().to_owned()),
        &column(tasks, |one| one.rung.due_at),
        &column(tasks, |_| foundation::id::new()),
        &column(tasks, |one| one.rung.kind.word().to_owned())
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes up to `limit` messages under a lease of 4 s, the longest waiting first; none by a clock that has jumped, by which somebody
/// else's lease only seems to have ended.
pub async fn take(connection: &mut PgConnection, instance: &str, limit: i64) -> Result<Vec<Taken>, Error> {
    let since = Instant::now();
    let rows = sqlx::query!(
        r#"update message m set state = 'sending', attempts = attempts + 1, taken_by = $2,
               attempt_at = clock_timestamp() + interval '4 s'
           where id = any(array(select id from message where state in ('queued', 'sending')
                                and attempt_at <= (select clock_timestamp())
                                and not (select held_at is not null or clock_doubted_at is not null from log_head) order by attempt_at, id limit $1
                                for update skip locked))
           returning id, whistle_id, assignment_id, ladder_id, ladder_kind, rung, text, target, due_at, check_after_ms,
                     attempts, traceparent,
                     exists (select from message later where later.assignment_id = m.assignment_id
                             and later.ladder_id = m.ladder_id and later.target = m.target
                             and later.rung > m.rung) as "overtaken!",
                     attempts > 1 or due_at < (select coalesce(doubtful_before, '-infinity') from log_head) as "doubtful!",
                     clock_timestamp() as "taken_at!""#,
        limit,
        instance
    );
    let taken = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(Taken {
            id: row.id,
            whistle: row.whistle_id,
            assignment: row.assignment_id,
            ladder: row.ladder_id,
            kind: Kind::of(&row.ladder_kind).map_err(sqlx::Error::from)?,
            rung: row.rung,
            text: row.text,
            target: Target::of(&row.target).map_err(sqlx::Error::from)?,
            due_at: row.due_at,
            check_after: TimeDelta::milliseconds(row.check_after_ms),
            attempts: row.attempts,
            overtaken: row.overtaken,
            doubtful: row.doubtful,
            traceparent: row.traceparent,
            taken_at: clock::said(since, row.taken_at)?,
            since,
        })
    });
    taken.collect()
}

/// The gateway took these over, each at this phone; returns those for which it was not recorded before, and when it was now.
pub async fn accepted(tx: &mut PgConnection, taken_over: &[(Uuid, String)]) -> sqlx::Result<Vec<(Uuid, Timestamp)>> {
    let (ids, phones): (Vec<_>, Vec<_>) = taken_over.iter().cloned().unzip();
    let before = Instant::now();
    let changed = sqlx::query!(
        r#"update message set state = 'accepted', accepted_at = clock_timestamp(), masked_phone = taken.phone,
               receipt_at = clock_timestamp() + interval '500 ms'
           from unnest($1::uuid[], $2::text[]) as taken (id, phone)
           where message.id = taken.id and state = 'sending' returning message.id, accepted_at as "accepted_at!""#,
        &ids,
        &phones
    );
    let changed = changed.fetch_all(tx).await?;
    changed.into_iter().map(|row| Ok((row.id, clock::said(before, row.accepted_at)?))).collect()
}

/// It ends before the gateway took it over; false when somebody took it up since, who then decides.
pub async fn ended(tx: &mut PgConnection, id: Uuid, attempt: i32, state: State) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "update message set state = $2 where id = $1 and state = 'sending' and attempts = $3",
        id,
        state.word(),
        attempt
    );
    Ok(changed.execute(tx).await?.rows_affected() == 1)
}

/// The gateway could not deliver what it had taken over; false when that was recorded before.
pub async fn undeliverable(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let changed =
        sqlx::query!("update message set state = 'failed', receipt_at = null where id = $1 and state = 'accepted'", id);
    Ok(changed.execute(tx).await?.rows_affected() == 1)
}

/// It is taken up again after a while; unless somebody took it up since, whose lease it then is.
pub async fn again(tx: &mut PgConnection, id: Uuid, attempt: i32, after: TimeDelta) -> sqlx::Result<()> {
    sqlx::query!(
        "update message set taken_by = null, attempt_at = clock_timestamp() + $2::bigint * interval '1 ms'
         where id = $1 and state = 'sending' and attempts = $3",
        id,
        after.num_milliseconds(),
        attempt
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Accepted messages whose receipt is to be asked for now; each is leased for 10 s.
pub async fn awaited(db: &Db) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "update message set receipt_at = clock_timestamp() + interval '10 s' where id = any(array(
             select id from message where receipt_at <= (select clock_timestamp())
             and not (select clock_doubted_at is not null from log_head) order by receipt_at limit 50
             for update skip locked)) returning id"
    )
    .fetch_all(&db.work())
    .await
}

/// They reached their phones.
pub async fn delivered(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "update message set state = 'delivered', delivered_at = clock_timestamp(), receipt_at = null
         where id = any($1) and state = 'accepted'",
        ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// No receipt yet: ask again after a tenth of the time waited so far, and no more after 72 h.
pub async fn ask_later(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update message set receipt_at = case when clock_timestamp() - accepted_at < interval '72 h'
             then clock_timestamp() + greatest((clock_timestamp() - accepted_at) / 10, interval '1 s') end
         where id = $1 and state = 'accepted'",
        id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A call task whose callee has to be looked up.
#[derive(Debug, Clone)]
pub struct Resolving {
    /// The effect's name.
    pub id: Uuid,
    /// The unit's share.
    pub assignment_id: Uuid,
    /// The ladder.
    pub ladder_id: Uuid,
    /// What it guards.
    pub ladder_kind: String,
    /// The card.
    pub card: Option<String>,
    /// Who is called.
    pub callee: String,
}

/// Call tasks taken up at once.
pub const TASKS: i64 = 50;

/// Takes tasks to be opened, each leased for 4 s.
pub async fn take_tasks(db: &Db) -> sqlx::Result<Vec<Resolving>> {
    sqlx::query_as!(
        Resolving,
        "update call_task set attempt_at = clock_timestamp() + interval '4 s', taken_by = $1 where id in (
             select id from call_task where state = 'resolving' and attempt_at <= (select clock_timestamp())
             and not (select held_at is not null or clock_doubted_at is not null from log_head) order by attempt_at limit $2 for update skip locked)
         returning id, assignment_id, ladder_id, ladder_kind, card, callee",
        &*db.instance,
        TASKS
    )
    .fetch_all(&db.work())
    .await
}

/// A task is taken up again after a while.
pub async fn task_again(tx: &mut PgConnection, id: Uuid, after: TimeDelta) -> sqlx::Result<()> {
    sqlx::query!(
        "update call_task set taken_by = null, attempt_at = clock_timestamp() + $2::bigint * interval '1 ms'
         where id = $1 and state = 'resolving'",
        id,
        after.num_milliseconds()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Frees what a process took up that is gone: Postgres sees no session of it any more; and what would wait for longer than any
/// lease or pause: a clock wrote it that has been put right since. Leases younger than half a second stay, and nothing is freed while
/// whoever lives may still be connecting. Says whether something was freed.
pub async fn free_orphans(db: &Db) -> sqlx::Result<bool> {
    let mut connection = db.work().acquire().await?;
    clock::now(&mut connection).await?;
    sqlx::query_scalar!(
        r#"with alive as materialized (select application_name from pg_stat_activity where application_name is not null),
              righted as (
             update call_task set attempt_at = clock_timestamp() where state = 'resolving'
             and attempt_at > (select clock_timestamp()) + interval '90 s'),
              righted_too as (
             update message set attempt_at = clock_timestamp() where state in ('queued', 'sending')
             and attempt_at > (select clock_timestamp()) + interval '90 s'),
              receipts as (
             update message set receipt_at = clock_timestamp() where state = 'accepted' and receipt_at >
                 (select clock_timestamp()) + interval '1 min' + ((select clock_timestamp()) - accepted_at) / 10),
              freed as (
             update call_task set attempt_at = clock_timestamp() where state = 'resolving' and taken_by is not null
             and attempt_at between (select clock_timestamp()) and (select clock_timestamp()) + interval '3500 ms'
             and taken_by not in (select application_name from alive) and (select all_connected()) returning 1),
              freed_too as (
             update message set attempt_at = clock_timestamp() where state = 'sending'
             and attempt_at between (select clock_timestamp()) and (select clock_timestamp()) + interval '3500 ms'
             and taken_by not in (select application_name from alive) and (select all_connected()) returning 1)
         select exists (select from freed) or exists (select from freed_too) as "freed!""#
    )
    .fetch_one(&mut *connection)
    .await
}
