//! Residents, on real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::auth::Caller;
use foundation::db::{self, Db};
use foundation::id;
use local::testing::run;
use residents::domain::Resident;
use residents::{SCHEMA, operations};

async fn database() -> Db {
    let url = local::testing::database().await.unwrap().into();
    db::migrate(&url, SCHEMA).await.unwrap();
    db::connect(&url, SCHEMA).await.unwrap()
}

fn resident() -> Resident {
    Resident { id: id::new(), area: "150302004001".into(), display_name: "李阿姨".into() }
}

#[test]
fn a_registered_resident_is_told_of_without_a_name() {
    run(async {
        let (db, resident) = (database().await, resident());
        let mut tx = db.begin().await.unwrap();
        let shown = operations::register(&mut tx, &Caller::anyone(), &resident).await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!((shown.display_name.as_str(), shown.area.as_str()), ("李阿姨", "150302004001"));
        let facts: Vec<(String, Vec<u8>)> =
            sqlx::query_as("select subject, payload from outbox").fetch_all(&db.work()).await.unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!(facts[0].0, "haiqu.residents.resident.registered.v1");
        assert!(!String::from_utf8_lossy(&facts[0].1).contains("李阿姨"));
    });
}

#[test]
fn a_registration_that_is_rolled_back_is_told_to_nobody() {
    run(async {
        let (db, resident) = (database().await, resident());
        let mut tx = db.begin().await.unwrap();
        operations::register(&mut tx, &Caller::anyone(), &resident).await.unwrap();
        tx.rollback().await.unwrap();
        let left: i64 = sqlx::query_scalar("select (select count(*) from outbox) + (select count(*) from resident)")
            .fetch_one(&db.work())
            .await
            .unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn a_schema_that_is_not_migrated_is_refused_saying_what_to_do() {
    run(async {
        let url = local::testing::database().await.unwrap().into();
        let error = db::connect(&url, SCHEMA).await.unwrap_err().to_string();
        assert!(error.contains("version 0") && error.contains("haiqu migrate residents"), "{error}");
    });
}
