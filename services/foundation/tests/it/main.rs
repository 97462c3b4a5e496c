//! Messages, on real Postgres and NATS: what is stated once is heard once, in order, whatever NATS does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod log;
mod messages;
mod requests;
mod restore;

use std::sync::LazyLock;

use foundation::db::{self, Db, Schema};
use sqlx::migrate::Migrator;

static NONE: LazyLock<Migrator> = LazyLock::new(|| Migrator::with_migrations(Vec::new()));

/// A new database with foundation's own tables, and one in which every row is an effect that happened.
async fn database() -> Db {
    let url = local::testing::database().await.unwrap().into();
    let schema = Schema { name: "dispatch", migrations: &NONE };
    db::migrate(&url, schema).await.unwrap();
    let db = db::connect(&url, schema).await.unwrap();
    sqlx::raw_sql("create table happened (id bigint generated always as identity, what text)")
        .execute(&db.work())
        .await
        .unwrap();
    db
}

async fn happened(db: &Db) -> Vec<String> {
    sqlx::query_scalar("select what from happened order by id").fetch_all(&db.work()).await.unwrap()
}
