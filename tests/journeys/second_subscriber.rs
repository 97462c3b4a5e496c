//! Somebody else subscribes to the last rung too: what it takes is below, and dispatch knows nothing of it.

use std::time::Duration;

use foundation::base::Stop;
use foundation::data::{Db, Schema, db, schema};
use foundation::log::{Received, Routes, bus};
use local::demo::{Screen, play};
use local::stack::Stack;
use proto::events::v1::RungFired;
use proto::events::v1::rung_effect::Effect;
use sqlx::PgConnection;
use testing::{eventually, run};

static MIGRATIONS: std::sync::LazyLock<sqlx::migrate::Migrator> =
    std::sync::LazyLock::new(|| sqlx::migrate::Migrator::with_migrations(Vec::new()));

// ---- the second subscriber, from here ----

fn routes() -> Routes {
    Routes::new("second").on(|tx: &mut PgConnection, event: Received<RungFired>| {
        Box::pin(async move {
            let last = event.effects.iter().any(|effect| matches!(effect.effect, Some(Effect::Push(_))));
            if last {
                let of = event.assignment.clone().unwrap_or_default().assignment_id;
                let noted = sqlx::query("insert into noted (assignment_id) values ($1)").bind(of);
                noted.execute(tx).await?;
            }
            Ok(())
        })
    })
}

async fn subscriber(database: &str, nats: &str) -> (Db, Stop) {
    let (url, schema) = (database.into(), Schema { name: "second", migrations: &MIGRATIONS });
    schema::migrate(&url, schema).await.unwrap();
    let db = db::connect(&url, schema).await.unwrap();
    sqlx::raw_sql("create table noted (assignment_id text)").execute(&db.work()).await.unwrap();
    let (bus, stop) = (bus::connect(&nats.into(), "second").await.unwrap(), Stop::new());
    tokio::spawn(bus::subscribe(db.clone(), bus, routes(), stop.clone()));
    (db, stop)
}

// ---- to here ----

#[test]
fn a_second_subscriber_of_the_last_rung_needs_nothing_of_dispatch() {
    run(async {
        let stack = Stack::start(&system_tests::options()).await.unwrap();
        let database = testing::empty_database().await.unwrap();
        let (db, stop) = subscriber(&database, &stack.servers.nats_url).await;
        assert!(play(&stack, Duration::from_millis(200), None, &Screen::Nobody).await.unwrap());
        let noted = || async {
            let count: i64 = sqlx::query_scalar("select count(*) from noted").fetch_one(&db.work()).await.unwrap();
            count == 1
        };
        eventually("the second subscriber noted the one case", noted).await;
        stop.request();
        stack.stop().await;
    });
}

#[test]
fn the_second_subscriber_is_under_forty_lines() {
    let source = include_str!("second_subscriber.rs");
    let part = source.split("// ---- the second subscriber, from here ----").nth(1).unwrap();
    let part = part.split("// ---- to here ----").next().unwrap();
    assert!(part.lines().count() < 40, "{}", part.lines().count());
}
