//! Messages, on real Postgres and NATS: what is published once is handled once, in order, whatever NATS does; and what leaves the house
//! leaves once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catch_up;
mod deliveries;
mod flush;
mod log;
mod messages;
mod requests;
mod restore;

use std::sync::LazyLock;

use foundation::base::Context;
use foundation::data::{Db, Schema};
use secrecy::SecretString;
use sqlx::migrate::Migrator;

static NONE: LazyLock<Migrator> = LazyLock::new(|| Migrator::with_migrations(Vec::new()));

fn schema() -> Schema {
    Schema { name: "dispatch", migrations: &NONE }
}

/// A new database with foundation's own tables, and one in which every row is an effect that happened.
async fn database_with_url() -> (Db, SecretString) {
    let (db, url) = testing::database_with_url(schema()).await;
    sqlx::raw_sql("create table happened (id bigint generated always as identity, what text)")
        .execute(&db.work())
        .await
        .unwrap();
    (db, url)
}

async fn database() -> Db {
    database_with_url().await.0
}

async fn happened(db: &Db) -> Vec<String> {
    sqlx::query_scalar("select what from happened order by id").fetch_all(&db.work()).await.unwrap()
}

/// Ends the connection that flushes are made over: nothing committed before proves to be on disk by a flush that comes after.
async fn drop_flusher(connection: &mut sqlx::PgConnection, instance: &str) {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = $1 and query like '%pg_logical_emit_message%' and pid <> pg_backend_pid()";
    let ended: Vec<bool> = sqlx::query_scalar(end).bind(instance).fetch_all(connection).await.unwrap();
    assert_eq!(ended, [true]);
}

/// Somebody who may do everything that these tests do.
async fn centre() -> Context {
    let centre = testing::person("centre", None, None);
    testing::context("/haiqu.dispatch.v1.WhistleService/AnswerAssignment", &centre).await
}
