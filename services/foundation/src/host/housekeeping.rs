//! Deleting what is no longer needed, in batches. Lifetimes: stream 3 days < outbox 30 < inbox 45, so that an event is
//! remembered as handled for longer than anybody can bring it again.

use std::time::Duration;

use crate::base::{Chain, Stop};
use crate::data::Db;

const INTERVAL: Duration = Duration::from_secs(600);

/// Cleans until told to stop.
pub async fn run(db: Db, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        stop.pause(INTERVAL).await;
        if stop.requested() {
            break;
        }
        if let Err(error) = clean(&db).await {
            tracing::warn!(error = %Chain(&error), "old rows stay for now");
        }
    }
    Ok(())
}

/// Deletes old rows; events that a consumer has not confirmed stay, and say so after 20 days.
pub async fn clean(db: &Db) -> sqlx::Result<()> {
    for name in stale(db).await? {
        tracing::error!(
            consumer = name,
            "has not confirmed events older than 20 days; they are kept until ops strikes it off"
        );
    }
    while outbox(db).await? + inbox(db).await? + requests(db).await? > 0 {}
    Ok(())
}

/// Consumers that are 20 days behind.
pub async fn stale(db: &Db) -> sqlx::Result<Vec<String>> {
    let stale = sqlx::query_scalar!(
        "select name from consumer where not struck_off
             and (select occurred_at from outbox where position = consumer.confirmed + 1) < now() - interval '20 days'"
    );
    db.in_time(stale.fetch_all(&db.work())).await
}

async fn outbox(db: &Db) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from outbox where position = any(array(
             select position from (select position, occurred_at from outbox where position is not null
                                   order by position limit 1000) oldest
             where occurred_at < now() - interval '30 days'
             and position <= coalesce((select min(confirmed) from consumer where not struck_off), position)))"
    );
    let deleted = db.in_time(deleted.execute(&db.work())).await?.rows_affected();
    // Nobody will ever publish what is not there any more.
    let passed = sqlx::query!(
        "update relay set cursor = oldest.position - 1
         from (select coalesce((select min(position) from outbox), log_head.position + 1) as position from log_head) as oldest
         where cursor < oldest.position - 1"
    );
    db.in_time(passed.execute(&db.work())).await?;
    Ok(deleted)
}

async fn inbox(db: &Db) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from inbox where (consumer, event_id) in (
             select consumer, event_id from inbox
             where event_id < (select uuidv7(interval '-45 days')) and received_at < now() - interval '45 days' and state = 'done'
             order by event_id limit 1000)"
    );
    Ok(db.in_time(deleted.execute(&db.work())).await?.rows_affected())
}

async fn requests(db: &Db) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from request where ctid = any(array(
             select ctid from request where created_at < now() - interval '7 days' order by created_at limit 1000))"
    );
    Ok(db.in_time(deleted.execute(&db.work())).await?.rows_affected())
}
