//! Hearing: once in effect, in order behind a dead letter, over NATS.

use foundation::bus::{self, Fact};
use foundation::db::Db;
use foundation::inbox::{self, Failure, Outcome, Routes};
use foundation::outbox::{Announcement, announce};
use foundation::{clock, dead_letters, id, relay};
use local::testing::{eventually, run, servers};
use proto::Event as _;
use proto::events::v1::WhistleWithdrawn;
use sqlx::PgConnection;

/// Writes down what it hears; cannot apply version 13 as long as nothing has happened yet.
fn routes() -> Routes {
    Routes::new("grievances").on(|tx: &mut PgConnection, event: WhistleWithdrawn| {
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
    WhistleWithdrawn { whistle_id: whistle.into(), version, ..WhistleWithdrawn::default() }
}

async fn fact(db: &Db, whistle: &str, version: i64) -> Fact {
    use prost::Message as _;
    Fact {
        id: id::new(),
        subject: WhistleWithdrawn::SUBJECT.into(),
        aggregate: whistle.into(),
        payload: event(whistle, version).encode_to_vec().into(),
        traceparent: None,
        occurred_at: clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap(),
        position: 1,
    }
}

#[test]
fn a_fact_that_comes_twice_has_one_effect() {
    run(async {
        let db = super::database().await;
        let fact = fact(&db, "a", 1).await;
        for _ in 0..2 {
            assert_eq!(inbox::apply(&db, &routes(), fact.clone()).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["1"]);
    });
}

#[test]
fn a_fact_that_comes_to_two_replicas_at_once_has_one_effect() {
    run(async {
        let db = super::database().await;
        let fact = fact(&db, "a", 1).await;
        let (one, other) = (routes(), routes());
        let both = tokio::join!(inbox::apply(&db, &one, fact.clone()), inbox::apply(&db, &other, fact));
        assert_eq!(both, (Outcome::Handled, Outcome::Handled));
        assert_eq!(super::happened(&db).await, ["1"]);
    });
}

#[test]
fn of_many_facts_heard_at_once_the_one_that_cannot_be_applied_holds_up_no_other() {
    run(async {
        let db = super::database().await;
        let mut facts = Vec::new();
        for (whistle, version) in [("a", 13), ("a", 14), ("b", 1), ("c", 2)] {
            facts.push(fact(&db, whistle, version).await);
        }
        // One of them comes twice.
        facts.push(facts[2].clone());
        for _ in 0..2 {
            let outcomes = inbox::apply_all(&mut db.session(), &routes(), &facts).await;
            assert_eq!(outcomes, [Outcome::Handled; 5]);
        }
        assert_eq!(super::happened(&db).await, ["1", "2"]);
        let mut connection = db.work().acquire().await.unwrap();
        let parked = dead_letters::parked(&mut connection).await.unwrap();
        assert_eq!(parked.iter().map(|letter| letter.event_id).collect::<Vec<_>>(), [facts[0].id, facts[1].id]);
    });
}

#[test]
fn facts_heard_at_once_by_two_replicas_in_other_orders_have_one_effect_each() {
    run(async {
        let db = super::database().await;
        let mut facts = Vec::new();
        for version in 1..=12 {
            facts.push(fact(&db, ["a", "b", "c"][version as usize % 3], version).await);
        }
        let reversed: Vec<_> = facts.iter().rev().cloned().collect();
        let (one, other) = (routes(), routes());
        let (mut first, mut second) = (db.session(), db.session());
        let both =
            tokio::join!(inbox::apply_all(&mut first, &one, &facts), inbox::apply_all(&mut second, &other, &reversed));
        assert!(both.0.iter().chain(&both.1).all(|outcome| *outcome == Outcome::Handled));
        let mut happened = super::happened(&db).await;
        happened.sort_by_key(|version| version.parse::<i64>().unwrap());
        assert_eq!(happened, (1..=12).map(|version: i64| version.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn facts_behind_a_parked_one_park_too_and_are_replayed_in_their_order() {
    run(async {
        let db = super::database().await;
        for (whistle, version) in [("a", 13), ("a", 14), ("a", 15), ("b", 1)] {
            let fact = fact(&db, whistle, version).await;
            assert_eq!(inbox::apply(&db, &routes(), fact).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["1"], "another aggregate goes on");
        let mut connection = db.work().acquire().await.unwrap();
        assert_eq!(dead_letters::parked(&mut connection).await.unwrap().len(), 3);
        assert_eq!(dead_letters::ask_replay(&mut connection, Some("a")).await.unwrap(), 3);
        inbox::replay(&db, &routes()).await.unwrap();
        assert_eq!(super::happened(&db).await, ["1", "13", "14", "15"]);
        assert!(dead_letters::parked(&mut connection).await.unwrap().is_empty());
    });
}

#[test]
fn a_replay_that_fails_again_parks_the_fact_and_its_followers_again() {
    run(async {
        let db = super::database().await;
        for version in [13, 14] {
            let fact = fact(&db, "a", version).await;
            inbox::apply(&db, &routes(), fact).await;
        }
        let mut connection = db.work().acquire().await.unwrap();
        dead_letters::ask_replay(&mut connection, None).await.unwrap();
        inbox::replay(&db, &routes()).await.unwrap();
        assert!(super::happened(&db).await.is_empty());
        assert_eq!(dead_letters::parked(&mut connection).await.unwrap().len(), 2);
    });
}

async fn state(db: &Db, whistle: &str, versions: std::ops::RangeInclusive<i64>) {
    let mut tx = db.begin().await.unwrap();
    let facts = versions.map(|version| Announcement::of(&event(whistle, version)));
    announce(&mut tx, facts.collect()).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn a_fact_that_comes_while_those_before_it_are_replayed_is_applied_after_them() {
    run(async {
        let db = super::database().await;
        let (first, second) = (fact(&db, "a", 13).await, fact(&db, "a", 14).await);
        inbox::apply(&db, &routes(), first).await;
        dead_letters::ask_replay(&mut db.work().acquire().await.unwrap(), None).await.unwrap();
        inbox::apply(&db, &routes(), second).await;
        sqlx::query("insert into happened (what) values ('ready')").execute(&db.work()).await.unwrap();
        inbox::replay(&db, &routes()).await.unwrap();
        assert_eq!(super::happened(&db).await, ["ready", "13", "14"]);
    });
}

#[test]
fn a_fact_that_breaks_its_handler_is_parked_and_the_next_is_heard() {
    run(async {
        let db = super::database().await;
        let breaking = Routes::new("grievances").on(|tx: &mut PgConnection, event: WhistleWithdrawn| {
            Box::pin(async move {
                assert_ne!(event.version, 13, "a bug");
                sqlx::query("insert into happened (what) values ('heard')").execute(tx).await?;
                Ok(())
            })
        });
        for (whistle, version) in [("a", 13), ("b", 1)] {
            let fact = fact(&db, whistle, version).await;
            assert_eq!(inbox::apply(&db, &breaking, fact).await, Outcome::Handled);
        }
        assert_eq!(super::happened(&db).await, ["heard"]);
        let parked = dead_letters::parked(&mut db.work().acquire().await.unwrap()).await.unwrap();
        assert_eq!(parked.len(), 1);
    });
}

#[test]
fn what_is_committed_is_heard_over_nats() {
    run(async {
        let (stating, hearing) = (super::database().await, super::database().await);
        let url = servers().await.nats_url.clone().into();
        let bus = bus::connect(&url, "test").await.unwrap();
        let (relay_stop, hear_stop) = (foundation::host::Stop::new(), foundation::host::Stop::new());
        let relay = tokio::spawn(relay::run(stating.clone(), bus.clone(), relay_stop.clone()));
        let hear = tokio::spawn(bus::subscribe(hearing.clone(), bus, routes(), hear_stop.clone()));
        // A consumer hears what is published after it was made.
        eventually("the consumer hears", || async {
            state(&stating, "probe", 0..=0).await;
            !super::happened(&hearing).await.is_empty()
        })
        .await;
        state(&stating, "a", 1..=20).await;
        let heard = || async {
            let heard = super::happened(&hearing).await;
            heard.into_iter().filter(|version| version != "0").collect::<Vec<_>>()
        };
        eventually("all 20 are heard", || async { heard().await.len() == 20 }).await;
        assert_eq!(heard().await, (1..=20).map(|version: i64| version.to_string()).collect::<Vec<_>>());
        relay_stop.request();
        hear_stop.request();
        relay.await.unwrap().unwrap();
        hear.await.unwrap().unwrap();
    });
}
