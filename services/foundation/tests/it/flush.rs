//! An answer waits for a flush that proves something about what it rests on.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::data::Db;
use foundation::data::flush::Server;

use super::database;

/// A database, and which server has it; whoever flushes it is connected.
pub async fn served() -> (Db, Server) {
    let db = database().await;
    let server = sqlx::query_scalar("select pg_postmaster_start_time()").fetch_one(&db.rpc()).await.unwrap();
    flushing(&db, server).await;
    (db, server)
}

/// Whoever flushes is connected by now.
async fn flushing(db: &Db, server: Server) {
    while db.flushed(server, Instant::now()).await.is_err() {
        local::pause(Duration::from_millis(10)).await;
    }
}

async fn commit(db: &Db) {
    sqlx::query("insert into happened (what) values ('change')").execute(&db.rpc()).await.unwrap();
}

#[tokio::test]
async fn what_was_committed_without_waiting_is_on_disk_when_its_flush_has_ended() {
    let (db, server) = served().await;
    let since = Instant::now();
    commit(&db).await;
    let end: String =
        sqlx::query_scalar("select pg_current_wal_insert_lsn()::text").fetch_one(&db.rpc()).await.unwrap();
    db.flushed(server, since).await.unwrap();
    let on_disk = sqlx::query_scalar::<_, bool>("select pg_current_wal_flush_lsn() >= $1::text::pg_lsn").bind(end);
    assert!(on_disk.fetch_one(&db.rpc()).await.unwrap());
}

#[tokio::test]
async fn many_share_a_flush() {
    let (db, server) = served().await;
    let all = (0..200).map(|_| db.flushed(server, Instant::now()));
    futures::future::try_join_all(all).await.unwrap();
}

#[tokio::test]
async fn a_flush_of_another_server_and_one_over_a_younger_connection_prove_nothing() {
    let before = Instant::now();
    let (db, server) = served().await;
    assert!(db.flushed(server + TimeDelta::seconds(1), Instant::now()).await.is_err());
    assert!(db.flushed(server, before).await.is_err());
}

#[tokio::test]
async fn a_server_that_dropped_its_sessions_since_proves_nothing_and_the_next_call_is_served() {
    let (db, server) = served().await;
    let since = Instant::now();
    commit(&db).await;
    super::drop_flusher(&mut db.rpc().acquire().await.unwrap(), &db.instance).await;
    assert!(db.flushed(server, since).await.is_err());
    assert!(db.flushed(server, since).await.is_err(), "not by a new connection either");
    flushing(&db, server).await;
}
