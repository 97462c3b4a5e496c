//! The table of deliveries. An acceptance is recorded whichever attempt it belongs to, a failure only by its own.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use uuid::Uuid;

use super::lease::{LEASE, Lease};
use super::way::{Leased, Outcome, backoff};
use crate::base::Timestamp;
use crate::data::flush::Server;
use crate::data::{Db, clock, column};

/// A delivery that is asked for.
#[derive(Debug, Clone)]
pub struct Enqueued<'e> {
    /// The effect's id.
    pub id: Uuid,
    /// Name of the way.
    pub way: &'static str,
    /// What it is about.
    pub subject: Uuid,
    /// Role of whom it is for.
    pub target: &'e str,
    /// When it was due.
    pub due_at: Timestamp,
    /// Only after this one was accepted.
    pub after: Option<Uuid>,
    /// Recorded, and never leaves the house.
    pub drill: bool,
    /// Trace of what asks for it.
    pub traceparent: Option<&'e str>,
}

/// Writes deliveries down, each once.
pub async fn enqueue(tx: &mut PgConnection, all: &[Enqueued<'_>]) -> sqlx::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into delivery (id, way, subject_id, target, due_at, after, state, traceparent)
         select id, way, subject_id, target, due_at, after, case when drill then 'drill' else 'queued' end, traceparent
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::uuid[], $7::bool[], $8::text[])
             as asked (id, way, subject_id, target, due_at, after, drill, traceparent)
         on conflict (id) do nothing",
        &column(all, |one| one.id),
        &column(all, |one| one.way) as &[&str],
        &column(all, |one| one.subject),
        &column(all, |one| one.target) as &[&str],
        &column(all, |one| one.due_at),
        &column(all, |one| one.after) as &[Option<Uuid>],
        &column(all, |one| one.drill),
        &column(all, |one| one.traceparent) as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A delivery as it is read.
struct Row {
    id: Uuid,
    subject_id: Uuid,
    target: String,
    due_at: Timestamp,
    attempts: i32,
    offered: bool,
    released: bool,
    doubtful: bool,
    traceparent: Option<String>,
    attempt_at: Timestamp,
    now: Timestamp,
    server: Server,
}

impl Row {
    /// Given for so long to whoever asked then.
    fn leased(self, since: Instant, lease: Duration) -> sqlx::Result<Leased> {
        Ok(Leased {
            id: self.id,
            subject: self.subject_id,
            target: self.target,
            due_at: self.due_at,
            attempts: self.attempts,
            offered: self.offered,
            released: self.released,
            doubtful: self.doubtful,
            traceparent: self.traceparent,
            taken_at: clock::believe(since, self.now)?,
            leased_until: self.attempt_at,
            since,
            server: self.server,
            lease: Lease::of(since, lease),
        })
    }
}

/// Takes up to `limit` of them under a lease, the longest waiting first; none while a restore is held, and none by a clock that has jumped,
/// by which somebody else's lease only seems to have ended.
pub async fn take(
    connection: &mut PgConnection,
    way: &str,
    instance: &str,
    lease: Duration,
    limit: usize,
) -> sqlx::Result<Vec<Leased>> {
    let since = Instant::now();
    let rows = sqlx::query_as!(
        Row,
        r#"update delivery set state = 'leased', attempts = attempts + 1, taken_by = $2,
               attempt_at = clock_timestamp() + $4::bigint * interval '1 ms'
           where id = any(array(select id from delivery d where way = $1 and state in ('queued', 'leased')
                                and attempt_at <= (select clock_timestamp())
                                and not (select held_at is not null or clock_doubted_at is not null from log_head)
                                and (after is null or (select state from delivery first where first.id = d.after)
                                                        in ('accepted', 'delivered'))
                                order by attempt_at, id limit $3 for update skip locked))
           returning id, subject_id, target, due_at, attempts, offered_at is not null as "offered!", released, traceparent, attempt_at,
                     attempts > 1 or due_at < (select coalesce(doubtful_before, '-infinity') from log_head) as "doubtful!",
                     clock_timestamp() as "now!", pg_postmaster_start_time() as "server!""#,
        way,
        instance,
        limit as i64,
        milliseconds(lease)
    );
    rows.fetch_all(connection).await?.into_iter().map(|row| row.leased(since, lease)).collect()
}

/// These, as whoever records a receipt knows them.
pub(super) async fn by_ids(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Leased>> {
    let since = Instant::now();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, subject_id, target, due_at, attempts, offered_at is not null as "offered!", released, traceparent, attempt_at,
                  true as "doubtful!", clock_timestamp() as "now!", pg_postmaster_start_time() as "server!"
           from delivery where id = any($1)"#,
        ids
    );
    rows.fetch_all(tx).await?.into_iter().map(|row| row.leased(since, Duration::ZERO)).collect()
}

/// It may have left from now on; false when somebody took it up since.
pub async fn mark_left(db: &Db, delivery: &Leased) -> sqlx::Result<bool> {
    let mine = sqlx::query!(
        "update delivery set left_at = coalesce(left_at, clock_timestamp()) where id = $1 and state = 'leased' and attempt_at = $2",
        delivery.id,
        delivery.leased_until
    );
    Ok(mine.execute(&db.work()).await?.rows_affected() == 1)
}

/// The outside took these over, each with its answer; returns those for which it was not recorded before, and when it was now. Where
/// receipts follow, they are asked for soon.
pub async fn accepted(
    tx: &mut PgConnection,
    taken_over: &[(Uuid, &str)],
    receipts: bool,
) -> sqlx::Result<Vec<(Uuid, Timestamp)>> {
    let before = Instant::now();
    let changed = sqlx::query!(
        r#"update delivery set state = 'accepted', accepted_at = clock_timestamp(), answer = taken.answer,
               left_at = coalesce(left_at, clock_timestamp()),
               receipt_at = case when $3 then clock_timestamp() + interval '500 ms' end
           from unnest($1::uuid[], $2::text[]) as taken (id, answer)
           where delivery.id = taken.id and state in ('queued', 'leased', 'held')
           returning delivery.id, accepted_at as "accepted_at!""#,
        &column(taken_over, |(id, _)| *id),
        &column(taken_over, |(_, answer)| *answer) as &[&str],
        receipts
    );
    let changed = changed.fetch_all(tx).await?;
    changed.into_iter().map(|row| Ok((row.id, clock::believe(before, row.accepted_at)?))).collect()
}

/// The word of an outcome in the table.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
        Outcome::Superseded => "superseded",
        Outcome::NoContact => "no_contact",
        Outcome::Held => "held",
    }
}

/// These ended, or are held, before the outside took them over; returns those that nobody took up since, who then decides.
pub async fn ended(tx: &mut PgConnection, all: &[(&Leased, &Outcome)]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "update delivery set state = ended.state, taken_by = null
         from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as ended (id, leased_until, state)
         where delivery.id = ended.id and delivery.state = 'leased' and delivery.attempt_at = ended.leased_until
         returning delivery.id",
        &column(all, |(delivery, _)| delivery.id),
        &column(all, |(delivery, _)| delivery.leased_until),
        &column(all, |(_, outcome)| word(outcome)) as &[&str]
    )
    .fetch_all(tx)
    .await
}

/// These are taken up again after a while, each where nobody took it up since; `offered` when the outside had it before it and did not
/// take it.
pub async fn again(tx: &mut PgConnection, all: &[(&Leased, bool)]) -> sqlx::Result<()> {
    sqlx::query!(
        "update delivery set taken_by = null, attempt_at = clock_timestamp() + again.after_ms * interval '1 ms',
             offered_at = case when again.offered then coalesce(offered_at, clock_timestamp()) else offered_at end
         from unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bool[]) as again (id, leased_until, after_ms, offered)
         where delivery.id = again.id and delivery.state = 'leased' and delivery.attempt_at = again.leased_until",
        &column(all, |(delivery, _)| delivery.id),
        &column(all, |(delivery, _)| delivery.leased_until),
        &column(all, |(delivery, _)| backoff(delivery.attempts).num_milliseconds()),
        &column(all, |(_, offered)| *offered)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The centre lets a held delivery go; false when it is not held.
pub async fn release(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let released = sqlx::query!(
        "update delivery set state = 'queued', released = true, attempt_at = clock_timestamp() where id = $1 and state = 'held'",
        id
    );
    Ok(released.execute(tx).await?.rows_affected() == 1)
}

/// Accepted ones whose receipt is to be asked for now; each is leased for 10 s.
pub(super) async fn awaited(db: &Db, way: &str) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "update delivery set receipt_at = clock_timestamp() + interval '10 s' where id = any(array(
             select id from delivery where receipt_at <= (select clock_timestamp()) and way = $1
             and not (select clock_doubted_at is not null from log_head) order by receipt_at limit 50
             for update skip locked)) returning id",
        way
    )
    .fetch_all(&db.work())
    .await
}

/// What receipts say: these were delivered, these failed. Returns those that failed and were not known to.
pub(super) async fn received(tx: &mut PgConnection, delivered: &[Uuid], failed: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"with arrived as (
               update delivery set state = 'delivered', delivered_at = clock_timestamp(), receipt_at = null
               where id = any($1) and state = 'accepted')
           update delivery set state = 'failed', receipt_at = null where id = any($2) and state = 'accepted' returning id"#,
        delivered,
        failed
    )
    .fetch_all(tx)
    .await
}

/// No receipt yet: ask again after a tenth of the time waited so far. After 72 h it is not known what became of it: returns those.
pub(super) async fn ask_later(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    let rows = sqlx::query!(
        r#"update delivery set
               state = case when clock_timestamp() - accepted_at < interval '72 h' then state else 'unknown' end,
               receipt_at = case when clock_timestamp() - accepted_at < interval '72 h'
                   then least(clock_timestamp() + greatest((clock_timestamp() - accepted_at) / 10, interval '1 s'),
                              accepted_at + interval '72 h') end
           where id = any($1) and state = 'accepted' returning id, state = 'unknown' as "unknown!""#,
        ids
    );
    Ok(rows.fetch_all(tx).await?.into_iter().filter(|row| row.unknown).map(|row| row.id).collect())
}

/// Frees what a process took up that is gone: Postgres sees no session of it any more; and what would wait for longer than any
/// lease or pause: a clock wrote it that has been put right since. Leases younger than half a second stay, as do the longer ones of a slow
/// disk until no more than that is left of them, and nothing is freed while whoever lives may still be connecting. Tells whether something
/// was freed.
pub(super) async fn free_orphans(db: &Db) -> sqlx::Result<bool> {
    let mut connection = db.work().acquire().await?;
    clock::now(&mut connection).await?;
    sqlx::query_scalar!(
        r#"with alive as materialized (select application_name from pg_stat_activity where application_name is not null),
              righted as (
             update delivery set attempt_at = clock_timestamp() where state in ('queued', 'leased')
             and attempt_at > (select clock_timestamp()) + interval '90 s'),
              receipts as (
             update delivery set receipt_at = clock_timestamp() where state = 'accepted' and receipt_at >
                 (select clock_timestamp()) + interval '1 min' + ((select clock_timestamp()) - accepted_at) / 10),
              freed as (
             update delivery set attempt_at = clock_timestamp() where state = 'leased' and taken_by is not null
             and attempt_at between (select clock_timestamp())
                 and (select clock_timestamp()) + ($1::bigint - 500) * interval '1 ms'
             and taken_by not in (select application_name from alive) and (select all_connected()) returning 1)
         select exists (select from freed) as "freed!""#,
        milliseconds(LEASE)
    )
    .fetch_one(&mut *connection)
    .await
}
