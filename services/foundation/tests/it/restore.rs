//! A restored database is known, and holds everything back.

use foundation::db::{self, Db, Schema};
use local::testing::{run, servers};

struct Head {
    log_id: uuid::Uuid,
    held: bool,
}

async fn head(db: &Db) -> Head {
    let row: (uuid::Uuid, bool) =
        sqlx::query_as("select log_id, held_at is not null from log_head").fetch_one(&db.work()).await.unwrap();
    Head { log_id: row.0, held: row.1 }
}

/// The same database again, as a restore makes it.
async fn copy(of: &str) -> String {
    let name = format!("copy_{}", &of[of.len() - 16..]);
    let mut superuser = servers().await.superuser("postgres").await.unwrap();
    let original = of.rsplit('/').next().unwrap();
    for statement in [
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{original}'"),
        format!("create database {name} template {original} owner {original}"),
    ] {
        local::servers::execute(&mut superuser, statement).await.unwrap();
    }
    servers().await.url(original, "test", &name).unwrap()
}

async fn connect(url: &str) -> Db {
    db::connect(&url.into(), Schema { name: "dispatch", migrations: &super::NONE }).await.unwrap()
}

#[test]
fn a_restored_database_is_another_log_and_held() {
    run(async {
        let url = local::testing::database().await.unwrap();
        db::migrate(&url.clone().into(), Schema { name: "dispatch", migrations: &super::NONE }).await.unwrap();
        let original = head(&connect(&url).await).await;
        assert!(!original.held);
        let again = head(&connect(&url).await).await;
        assert!(!again.held && again.log_id == original.log_id, "a restart is no restore");
        let restored = connect(&copy(&url).await).await;
        let found = head(&restored).await;
        assert!(found.held && found.log_id != original.log_id);
        let twice = head(&connect(&restored_url(&restored).await).await).await;
        assert!(twice.held && twice.log_id == found.log_id, "it stays held, under one new identity");
    });
}

async fn restored_url(db: &Db) -> String {
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&db.work()).await.unwrap();
    let role: String = sqlx::query_scalar("select current_user::text").fetch_one(&db.work()).await.unwrap();
    servers().await.url(&role, "test", &name).unwrap()
}
