//! Residents, on real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::base::{Context, id};
use foundation::data::{Db, db};
use residents::domain::ResidentId;
use residents::domain::resident::Command;
use residents::operations::resident::run;
use residents::{Error, SCHEMA};
use testing::{database, person};

const REGISTER: &str = "/haiqu.residents.v1.ResidentService/RegisterResident";

async fn worker(area: &str) -> Context {
    testing::context(REGISTER, &person("grid_worker", Some(area), None)).await
}

fn register() -> Command {
    Command::Register { id: ResidentId(id::new()), area: "150302004001".into(), display_name: "李阿姨".into() }
}

async fn count(db: &Db, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&db.work()).await.unwrap()
}

#[test]
fn a_registered_resident_is_announced_without_a_name_and_with_who_registered_them() {
    testing::run(async {
        let (db, context) = (database(SCHEMA).await, worker("150302004001").await);
        let mut tx = db.begin().await.unwrap();
        let changed = run(&mut tx, &context, register()).await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!((changed.resident.display_name.as_str(), changed.resident.version), ("李阿姨", 1));
        let events: Vec<(String, Vec<u8>, String)> =
            sqlx::query_as("select subject, payload, audiences from outbox").fetch_all(&db.work()).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].0, "haiqu.residents.resident.registered.v1");
        assert!(!String::from_utf8_lossy(&events[0].1).contains("李阿姨"));
        assert_eq!(events[0].2, "area:150302004001");
        let past: (String, String, String) = sqlx::query_as(
            "select kind, actor, role from history join outbox using (event_id) where subject_id = aggregate_id",
        )
        .fetch_one(&db.work())
        .await
        .unwrap();
        assert_eq!(past, ("registered".into(), "test-grid_worker".into(), "grid_worker".into()));
    });
}

#[test]
fn a_registration_that_is_rolled_back_leaves_nothing() {
    testing::run(async {
        let (db, context) = (database(SCHEMA).await, worker("150302004001").await);
        let mut tx = db.begin().await.unwrap();
        run(&mut tx, &context, register()).await.unwrap();
        tx.rollback().await.unwrap();
        let left =
            "select (select count(*) from outbox) + (select count(*) from resident) + (select count(*) from history)";
        assert_eq!(count(&db, left).await, 0);
    });
}

#[test]
fn nobody_is_registered_outside_of_the_callers_area() {
    testing::run(async {
        let (db, context) = (database(SCHEMA).await, worker("150302005").await);
        let mut tx = db.begin().await.unwrap();
        let refused = run(&mut tx, &context, register()).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    });
}

#[test]
fn a_schema_that_is_not_migrated_is_refused_saying_what_to_do() {
    testing::run(async {
        let url = testing::empty_database().await.unwrap().into();
        let error = db::connect(&url, SCHEMA).await.unwrap_err().to_string();
        assert!(error.contains("version 0") && error.contains("haiqu migrate residents"), "{error}");
    });
}
