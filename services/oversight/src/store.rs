//! SQL that decides.

use std::time::Instant;

use chrono::TimeDelta;
use foundation::clock::{self, Timestamp};
use foundation::db::Db;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::texts::{self, Fact};
use crate::operations::pushing::{Taken, TakenCorrection};

/// A line of a timeline.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Named by the fact.
    pub id: Uuid,
    /// The whistle.
    pub whistle: Uuid,
    /// The unit's share.
    pub assignment: Option<Uuid>,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

/// Writes lines, each once.
pub async fn note(tx: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<()> {
    let (mut ids, mut whistles, mut assignments, mut times, mut lines) = (vec![], vec![], vec![], vec![], vec![]);
    for entry in entries {
        ids.push(entry.id);
        whistles.push(entry.whistle);
        assignments.push(entry.assignment);
        times.push(entry.at);
        lines.push(texts::text(entry.fact));
    }
    sqlx::query!(
        "insert into timeline (id, whistle_id, assignment_id, at, text)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[])
         on conflict (id) do nothing",
        &ids,
        &whistles,
        &assignments as &[Option<Uuid>],
        &times,
        &lines
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets one transaction after the other open or correct an assignment's case: an annulment finds the case, or is on the timeline
/// before there is one.
pub async fn in_turn(tx: &mut PgConnection, assignment: Uuid) -> sqlx::Result<()> {
    let lock = sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", assignment.to_string());
    lock.fetch_one(tx).await.map(|_| ())
}

/// Takes up to `limit` cases under a lease of 4 s.
pub async fn take(db: &Db, limit: i64) -> sqlx::Result<Vec<Taken>> {
    // Before the statement: the lease is never shorter than this process believes.
    let since = Instant::now();
    let rows = sqlx::query!(
        r#"update case_file set attempts = attempts + 1, taken_by = $1, attempt_at = clock_timestamp() + interval '4 s'
         where id in (
             select id from case_file where state = 'pending' and attempt_at <= (select clock_timestamp())
             and not (select held_at is not null or clock_doubted_at is not null from log_head) order by attempt_at limit $2 for update skip locked)
         returning id, whistle_id, assignment_id, ladder_id, due_at, platform_fault_after_ms, released, attempts, traceparent,
                   offered_at is not null as "offered!",
                   attempts > 1 or due_at < (select coalesce(doubtful_before, '-infinity') from log_head) as "doubtful!",
                   clock_timestamp() as "taken_at!""#,
        &*db.instance,
        limit
    )
    .fetch_all(&db.work())
    .await?;
    believed(since, rows.first().map(|row| row.taken_at))?;
    let taken = rows.into_iter().map(|row| Taken {
        id: row.id,
        whistle: row.whistle_id,
        assignment: row.assignment_id,
        ladder: row.ladder_id,
        due_at: row.due_at,
        fault_after: TimeDelta::milliseconds(row.platform_fault_after_ms),
        offered: row.offered,
        doubtful: row.doubtful,
        released: row.released,
        attempts: row.attempts,
        traceparent: row.traceparent,
        since,
    });
    Ok(taken.collect())
}

/// Takes up to `limit` corrections under a lease of 4 s, of cases that have arrived.
pub async fn take_corrections(db: &Db, limit: i64) -> sqlx::Result<Vec<TakenCorrection>> {
    let since = Instant::now();
    let rows = sqlx::query!(
        r#"update correction set attempts = attempts + 1, taken_by = $1, attempt_at = clock_timestamp() + interval '4 s'
         where id in (
             select c.id from correction c join case_file f on f.id = c.case_id and f.state = 'pushed'
             where c.state = 'pending' and c.attempt_at <= (select clock_timestamp())
             and not (select held_at is not null or clock_doubted_at is not null from log_head)
             order by c.attempt_at limit $2 for update of c skip locked)
         returning id, case_id, text, attempts,
             (select assignment_id from case_file where id = case_id) as "assignment!",
             (select ladder_id from case_file where id = case_id) as "ladder!",
             attempts > 1 or (select due_at from case_file where id = case_id)
                 < (select coalesce(doubtful_before, '-infinity') from log_head) as "doubtful!",
             clock_timestamp() as "taken_at!""#,
        &*db.instance,
        limit
    )
    .fetch_all(&db.work())
    .await?;
    believed(since, rows.first().map(|row| row.taken_at))?;
    let taken = rows.into_iter().map(|row| TakenCorrection {
        id: row.id,
        case: row.case_id,
        assignment: row.assignment,
        ladder: row.ladder,
        doubtful: row.doubtful,
        text: row.text,
        attempts: row.attempts,
        since,
    });
    Ok(taken.collect())
}

/// By a clock that has jumped, somebody else's lease only seems to have ended.
fn believed(asked: Instant, taken_at: Option<Timestamp>) -> sqlx::Result<()> {
    taken_at.map_or(Ok(()), |at| clock::said(asked, at).map(|_| ()))
}

/// The case waits for the centre; unless somebody took it up since.
pub async fn hold(db: &Db, id: Uuid, attempt: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "update case_file set state = 'held' where id = $1 and state = 'pending' and attempts = $2",
        id,
        attempt
    )
    .execute(&db.work())
    .await?;
    Ok(())
}

/// It is about to be handed over, by whoever holds the lease; false when somebody took it up since.
pub async fn first_sent(db: &Db, id: Uuid, attempt: i32) -> sqlx::Result<bool> {
    let mine = sqlx::query!(
        "update case_file set first_sent_at = coalesce(first_sent_at, clock_timestamp())
         where id = $1 and state = 'pending' and attempts = $2",
        id,
        attempt
    );
    Ok(mine.execute(&db.work()).await?.rows_affected() == 1)
}

/// It is taken up again after a while; `offered` when 阳光+ had it before it and did not take it.
pub async fn again(db: &Db, id: Uuid, attempt: i32, after: TimeDelta, offered: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "update case_file set taken_by = null, attempt_at = clock_timestamp() + $2::bigint * interval '1 ms',
             offered_at = case when $4 then coalesce(offered_at, clock_timestamp()) else offered_at end
         where id = $1 and state = 'pending' and attempts = $3",
        id,
        after.num_milliseconds(),
        attempt,
        offered
    )
    .execute(&db.work())
    .await?;
    Ok(())
}

/// 阳光+ gave a receipt; false when that was recorded before.
pub async fn pushed(tx: &mut PgConnection, id: Uuid, receipt: &str, at: Timestamp) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "update case_file set state = 'pushed', receipt = $2, received_at = $3 where id = $1 and state = 'pending'",
        id,
        receipt,
        at
    );
    Ok(changed.execute(tx).await?.rows_affected() == 1)
}

/// A correction arrived.
pub async fn corrected(db: &Db, id: Uuid, receipt: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update correction set state = 'pushed', receipt = $2, received_at = clock_timestamp()
         where id = $1 and state = 'pending'",
        id,
        receipt
    )
    .execute(&db.work())
    .await?;
    Ok(())
}

/// A correction is taken up again after a while.
pub async fn correct_again(db: &Db, id: Uuid, attempt: i32, after: TimeDelta) -> sqlx::Result<()> {
    sqlx::query!(
        "update correction set taken_by = null, attempt_at = clock_timestamp() + $2::bigint * interval '1 ms'
         where id = $1 and state = 'pending' and attempts = $3",
        id,
        after.num_milliseconds(),
        attempt
    )
    .execute(&db.work())
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
             update correction set attempt_at = clock_timestamp() where state = 'pending'
             and attempt_at > (select clock_timestamp()) + interval '90 s'),
              righted_too as (
             update case_file set attempt_at = clock_timestamp() where state = 'pending'
             and attempt_at > (select clock_timestamp()) + interval '90 s'),
              freed as (
             update correction set attempt_at = clock_timestamp() where state = 'pending' and taken_by is not null
             and attempt_at between (select clock_timestamp()) and (select clock_timestamp()) + interval '3500 ms'
             and taken_by not in (select application_name from alive) and (select all_connected()) returning 1),
              freed_too as (
             update case_file set attempt_at = clock_timestamp() where state = 'pending' and taken_by is not null
             and attempt_at between (select clock_timestamp()) and (select clock_timestamp()) + interval '3500 ms'
             and taken_by not in (select application_name from alive) and (select all_connected()) returning 1)
         select exists (select from freed) or exists (select from freed_too) as "freed!""#
    )
    .fetch_one(&mut *connection)
    .await
}
