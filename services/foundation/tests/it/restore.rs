//! A restored database is known, and holds everything back.

use foundation::data::{Db, db, schema};
use testing::{run, servers};

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
    db::connect(&url.into(), super::schema()).await.unwrap()
}

#[test]
fn a_restored_database_is_another_log_and_held() {
    run(async {
        let url = testing::empty_database().await.unwrap();
        schema::migrate(&url.clone().into(), super::schema()).await.unwrap();
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

#[test]
fn another_services_database_and_one_of_another_build_are_refused() {
    run(async {
        let (db, url) = super::database_with_url().await;
        let foreign = foundation::data::Schema { name: "grievances", ..super::schema() };
        let error = db::connect(&url, foreign).await.unwrap_err().to_string();
        assert!(error.contains("belongs to dispatch"), "{error}");
        assert!(schema::migrate(&url, foreign).await.is_err(), "a migration job writes nothing there");
        sqlx::query("update _foundation_migrations set checksum = 'x'").execute(&db.work()).await.unwrap();
        let error = db::connect(&url, super::schema()).await.unwrap_err().to_string();
        assert!(error.contains("another build"), "{error}");
    });
}
