//! Receiving: once in effect, in order behind a dead letter, over NATS.

use foundation::base::{Actor, Failure, Stop, Timestamp};
use foundation::data::Db;
use foundation::log::inbox::{self, Outcome};
use foundation::log::{Announcement, Audiences, Envelope, Received, Routes, bus, dead_letters, publish, relay};
use proto::events::v1::{WhistleRef, WhistleWithdrawn};
use sqlx::PgConnection;
use testing::{eventually, run, servers};

/// Writes down what it receives; cannot apply version 13 as long as nothing has happened yet.
fn routes() -> Routes {
    Routes::new("grievances").on(|tx: &mut PgConnection, event: Received<WhistleWithdrawn>| {
        Box::pin(async move {
            if event.version == 13 {
                let ready: bool =
                    sqlx::query_scalar("select exists (select from happened)").fetch_one(&mut *tx).await?;
                if !ready {
                    return Err(Failure::Park("unlucky".into()));
                }
            }
            sqlx::query("insert into happened (what) values ($1)").bind(event.version.to_string()).execute(tx).await?;
            Ok(())
        })
    })
}

fn event(whistle: &str, version: i64) -> WhistleWithdrawn {
    let whistle = Some(WhistleRef { whistle_id: whistle.into(), ..WhistleRef::default() });
    WhistleWithdrawn { whistle, version, ..WhistleWithdrawn::default() }
}

fn arriving(whistle: &str, version: i64) -> Envelope {
    testing::envelope(&event(whistle, version), Timestamp::UNIX_EPOCH)
}

fn ops() -> Actor {
    Actor::new("test-ops", "ops")
}

#[test]
fn an_event_that_comes_twice_has_one_effect() {
    run(async {
        let db = super::database().await;
        let event = arriving("a", 1);
        for _ in 0..2 {
            assert_eq!(inbox::apply(&db, &routes(), event.clone()).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["1"]);
    });
}

#[test]
fn an_event_that_comes_to_two_replicas_at_once_has_one_effect() {
    run(async {
        let db = super::database().await;
        let event = arriving("a", 1);
        let (one, other) = (routes(), routes());
        let both = tokio::join!(inbox::apply(&db, &one, event.clone()), inbox::apply(&db, &other, event));
        assert_eq!(both, (Outcome::Handled, Outcome::Handled));
        assert_eq!(super::happened(&db).await, ["1"]);
    });
}

#[test]
fn of_many_events_received_at_once_the_one_that_cannot_be_applied_holds_up_no_other() {
    run(async {
        let db = super::database().await;
        let mut events = Vec::new();
        for (whistle, version) in [("a", 13), ("a", 14), ("b", 1), ("c", 2)] {
            events.push(arriving(whistle, version));
        }
        // One of them comes twice.
        events.push(events[2].clone());
        for _ in 0..2 {
            let outcomes = inbox::apply_all(&mut db.session(), &routes(), &events).await;
            assert_eq!(outcomes, [Outcome::Handled; 5]);
        }
        assert_eq!(super::happened(&db).await, ["1", "2"]);
        let mut connection = db.work().acquire().await.unwrap();
        let parked = dead_letters::parked(&mut connection).await.unwrap();
        assert_eq!(parked.iter().map(|letter| letter.event_id).collect::<Vec<_>>(), [events[0].id, events[1].id]);
    });
}

#[test]
fn events_received_at_once_by_two_replicas_in_other_orders_have_one_effect_each() {
    run(async {
        let db = super::database().await;
        let mut events = Vec::new();
        for version in 1..=12 {
            events.push(arriving(["a", "b", "c"][version as usize % 3], version));
        }
        let reversed: Vec<_> = events.iter().rev().cloned().collect();
        let (one, other) = (routes(), routes());
        let (mut first, mut second) = (db.session(), db.session());
        let both =
            tokio::join!(inbox::apply_all(&mut first, &one, &events), inbox::apply_all(&mut second, &other, &reversed));
        assert!(both.0.iter().chain(&both.1).all(|outcome| *outcome == Outcome::Handled));
        let mut happened = super::happened(&db).await;
        happened.sort_by_key(|version| version.parse::<i64>().unwrap());
        assert_eq!(happened, (1..=12).map(|version: i64| version.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn events_behind_a_parked_one_park_too_and_are_replayed_in_their_order() {
    run(async {
        let db = super::database().await;
        for (whistle, version) in [("a", 13), ("a", 14), ("a", 15), ("b", 1)] {
            let event = arriving(whistle, version);
            assert_eq!(inbox::apply(&db, &routes(), event).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["1"], "another aggregate goes on");
        let mut connection = db.work().acquire().await.unwrap();
        assert_eq!(dead_letters::parked(&mut connection).await.unwrap().len(), 3);
        assert_eq!(dead_letters::ask_replay(&mut connection, Some("a"), &ops()).await.unwrap(), 3);
        inbox::replay(&db, &routes()).await.unwrap();
        assert_eq!(super::happened(&db).await, ["1", "13", "14", "15"]);
        assert!(dead_letters::parked(&mut connection).await.unwrap().is_empty());
    });
}

#[test]
fn a_replay_that_fails_again_parks_the_event_and_its_followers_again() {
    run(async {
        let db = super::database().await;
        for version in [13, 14] {
            let event = arriving("a", version);
            inbox::apply(&db, &routes(), event).await;
        }
        let mut connection = db.work().acquire().await.unwrap();
        dead_letters::ask_replay(&mut connection, None, &ops()).await.unwrap();
        inbox::replay(&db, &routes()).await.unwrap();
        assert!(super::happened(&db).await.is_empty());
        assert_eq!(dead_letters::parked(&mut connection).await.unwrap().len(), 2);
    });
}

async fn commit(db: &Db, whistle: &str, versions: std::ops::RangeInclusive<i64>) {
    let (mut tx, context) = (db.begin().await.unwrap(), super::centre().await);
    let events = versions.map(|version| Announcement::of(event(whistle, version), &Audiences::default(), &context));
    publish(&mut tx, events.collect()).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn an_event_that_comes_while_those_before_it_are_replayed_is_applied_after_them() {
    run(async {
        let db = super::database().await;
        let (first, second) = (arriving("a", 13), arriving("a", 14));
        inbox::apply(&db, &routes(), first).await;
        dead_letters::ask_replay(&mut db.work().acquire().await.unwrap(), None, &ops()).await.unwrap();
        inbox::apply(&db, &routes(), second).await;
        sqlx::query("insert into happened (what) values ('ready')").execute(&db.work()).await.unwrap();
        inbox::replay(&db, &routes()).await.unwrap();
        assert_eq!(super::happened(&db).await, ["ready", "13", "14"]);
    });
}

#[test]
fn an_event_that_breaks_its_handler_is_parked_and_the_next_is_applied() {
    run(async {
        let db = super::database().await;
        let breaking = Routes::new("grievances").on(|tx: &mut PgConnection, event: Received<WhistleWithdrawn>| {
            Box::pin(async move {
                assert_ne!(event.version, 13, "a bug");
                sqlx::query("insert into happened (what) values ('applied')").execute(tx).await?;
                Ok(())
            })
        });
        for (whistle, version) in [("a", 13), ("b", 1)] {
            let event = arriving(whistle, version);
            assert_eq!(inbox::apply(&db, &breaking, event).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["applied"]);
        let parked = dead_letters::parked(&mut db.work().acquire().await.unwrap()).await.unwrap();
        assert_eq!(parked.len(), 1);
    });
}

#[test]
fn what_is_committed_is_received_over_nats() {
    run(async {
        let (publishing, receiving) = (super::database().await, super::database().await);
        let url = servers().await.nats_url.clone().into();
        let bus = bus::connect(&url, "test").await.unwrap();
        let (relay_stop, receive_stop) = (Stop::new(), Stop::new());
        let relay = tokio::spawn(relay::run("dispatch", publishing.clone(), bus.clone(), relay_stop.clone()));
        let receive = tokio::spawn(bus::subscribe(receiving.clone(), bus, routes(), receive_stop.clone()));
        // A consumer receives what is published after it was made.
        eventually("the consumer receives", || async {
            commit(&publishing, "probe", 0..=0).await;
            !super::happened(&receiving).await.is_empty()
        })
        .await;
        commit(&publishing, "a", 1..=20).await;
        let received = || async {
            let received = super::happened(&receiving).await;
            received.into_iter().filter(|version| version != "0").collect::<Vec<_>>()
        };
        eventually("all 20 are received", || async { received().await.len() == 20 }).await;
        assert_eq!(received().await, (1..=20).map(|version: i64| version.to_string()).collect::<Vec<_>>());
        relay_stop.request();
        receive_stop.request();
        relay.await.unwrap().unwrap();
        receive.await.unwrap().unwrap();
    });
}

#[test]
fn a_discarded_event_is_never_applied_and_those_behind_it_are_free() {
    run(async {
        let db = super::database().await;
        for version in [13, 14] {
            inbox::apply(&db, &routes(), arriving("a", version)).await;
        }
        let mut connection = db.work().acquire().await.unwrap();
        let first = dead_letters::parked(&mut connection).await.unwrap()[0].event_id;
        assert!(dead_letters::discard(&mut connection, first, &ops(), "13 is wrong").await.unwrap());
        assert!(!dead_letters::discard(&mut connection, first, &ops(), "again").await.unwrap(), "it is gone");
        dead_letters::ask_replay(&mut connection, None, &ops()).await.unwrap();
        inbox::replay(&db, &routes()).await.unwrap();
        assert_eq!(super::happened(&db).await, ["14"]);
        let noted: Vec<(String, String)> =
            sqlx::query_as("select kind, actor from history order by at").fetch_all(&db.work()).await.unwrap();
        assert_eq!(noted[0], ("dead_letter_discarded".into(), "test-ops".into()));
    });
}
