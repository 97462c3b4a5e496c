//! What only real locks can show.

use dispatch::domain::ladder::{Fired, Kind, Rung};
use dispatch::domain::whistle::Share;
use dispatch::domain::{AssignmentId, LadderId};
use dispatch::operations::ladder::Firing;
use dispatch::store::{self, policy};
use dispatch::{Error, operations};
use foundation::auth::Caller;
use foundation::db::Db;
use local::testing::{eventually, run};
use proto::dispatch::v1 as wire;

fn id(assignment: &wire::Assignment) -> AssignmentId {
    AssignmentId(assignment.assignment_id.parse().unwrap())
}

/// Somebody stands in a queue for a lock.
async fn somebody_waits(db: &Db) -> bool {
    let asked = sqlx::query_scalar(
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
    );
    asked.fetch_one(&db.rpc()).await.unwrap()
}

#[test]
fn of_two_answers_at_once_the_second_learns_of_the_first() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await.whistle.unwrap();
        let share = id(&blown.assignments[0]);
        let mut first = db.begin().await.unwrap();
        operations::answer(&mut first, &Caller::anyone(), share, "甲").await.unwrap();
        let other = db.clone();
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            operations::answer(&mut tx, &Caller::anyone(), share, "乙").await.map(|_| ())
        });
        eventually("the second waits", || somebody_waits(&db)).await;
        db.commit(first).await.unwrap();
        let refused = second.await.unwrap().unwrap_err();
        assert!(
            matches!(refused, Error::Refused(dispatch::domain::whistle::Refusal::Share(Share::Answered))),
            "{refused:?}"
        );
    });
}

#[test]
fn a_whistle_closes_when_its_last_two_shares_are_confirmed_at_once() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 2).await, 0).await.whistle.unwrap();
        let shares: Vec<_> = blown.assignments.iter().map(id).collect();
        for share in &shares {
            let mut tx = db.begin().await.unwrap();
            operations::answer(&mut tx, &Caller::anyone(), *share, "甲").await.unwrap();
            operations::submit(&mut tx, &Caller::anyone(), *share, "好了", &serde_json::json!([])).await.unwrap();
            db.commit(tx).await.unwrap();
        }
        let mut first = db.begin().await.unwrap();
        operations::confirm(&mut first, &Caller::anyone(), shares[0]).await.unwrap();
        let (other, last) = (db.clone(), shares[1]);
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            operations::confirm(&mut tx, &Caller::anyone(), last).await.unwrap();
            other.commit(tx).await.unwrap();
        });
        eventually("the second waits", || somebody_waits(&db)).await;
        db.commit(first).await.unwrap();
        second.await.unwrap();
        let state: String = sqlx::query_scalar("select state from whistle").fetch_one(&db.work()).await.unwrap();
        assert_eq!(state, "closed");
    });
}

/// A policy whose second rung is due at once.
async fn short_policy(db: &Db) -> i64 {
    let mut tx = db.begin().await.unwrap();
    let mut policy = policy::policy(&mut tx, 0).await.unwrap().unwrap();
    policy.answer[1].after_ms = 1;
    let version = policy::add(&mut tx, &policy).await.unwrap();
    db.commit(tx).await.unwrap();
    version
}

async fn fired(db: &Db) -> Vec<i32> {
    sqlx::query_scalar("select number from rung where fired_at is not null order by number")
        .fetch_all(&db.work())
        .await
        .unwrap()
}

#[test]
fn replicas_that_fire_at_once_fire_each_rung_once() {
    run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let units = super::units(&db, 3).await;
        for _ in 0..10 {
            super::blow(&db, &units, version).await;
        }
        let replicas = (0..4).map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut firing = Firing::new(db.session());
                for _ in 0..20 {
                    firing.fire_due(7, &[]).await.unwrap();
                }
            })
        });
        for replica in replicas.collect::<Vec<_>>() {
            replica.await.unwrap();
        }
        assert_eq!(fired(&db).await.iter().filter(|number| **number == 2).count(), 30);
        let facts: i64 =
            sqlx::query_scalar("select count(*) from outbox where subject = 'haiqu.dispatch.rung.fired.v1'")
                .fetch_one(&db.work())
                .await
                .unwrap();
        assert_eq!(facts, 60);
    });
}

#[test]
fn a_rung_that_has_fired_cannot_be_written_as_fired_again() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await.whistle.unwrap();
        let ladder = &blown.assignments[0].ladders[0];
        let ladder = LadderId(ladder.ladder_id.parse().unwrap());
        let now = super::now(&db).await;
        let rung =
            Rung { number: 1, due_at: now, fired_at: Some(now), platform_fault: false, card: None, annul_reason: None };
        let again = Fired { ladder, kind: Kind::Answer, generation: 1, rung };
        let mut tx = db.begin().await.unwrap();
        let policy = policy::policy(&mut tx, 0).await.unwrap().unwrap();
        let refused = store::fire(&mut tx, &[(id(&blown.assignments[0]), &again)], &[], &policy).await;
        assert!(matches!(refused, Err(Error::FiredAlready)), "{refused:?}");
    });
}

#[test]
fn an_answer_first_fires_what_is_due_and_then_nothing_more() {
    run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let blown = super::blow(&db, &super::units(&db, 1).await, version).await.whistle.unwrap();
        let due = super::now(&db).await + chrono::TimeDelta::milliseconds(2);
        eventually("the second rung is due", || async { super::now(&db).await > due }).await;
        let mut tx = db.begin().await.unwrap();
        operations::answer(&mut tx, &Caller::anyone(), id(&blown.assignments[0]), "甲").await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!(fired(&db).await, [1, 2]);
        assert_eq!(Firing::new(db.session()).fire_due(100, &[]).await.unwrap(), 0);
    });
}

#[test]
fn an_answer_waits_for_the_rung_that_is_being_fired_and_does_not_fire_it_again() {
    run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let blown = super::blow(&db, &super::units(&db, 1).await, version).await.whistle.unwrap();
        let share = id(&blown.assignments[0]);
        let due = super::now(&db).await + chrono::TimeDelta::milliseconds(2);
        eventually("the second rung is due", || async { super::now(&db).await > due }).await;
        let mut firing = db.begin().await.unwrap();
        assert_eq!(store::due::take(&mut firing, 10, &[]).await.unwrap().len(), 1);
        let mut ladder = store::ladders(&mut firing, &[share]).await.unwrap().remove(&share).unwrap().remove(0);
        let policy = policy::policy(&mut firing, version).await.unwrap().unwrap();
        let rung = ladder.fire(super::now(&db).await, &policy).remove(0);
        store::fire(&mut firing, &[(share, &rung)], &[], &policy).await.unwrap();
        let other = db.clone();
        let answer = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            let answered = operations::answer(&mut tx, &Caller::anyone(), share, "甲").await.map(|_| ());
            other.commit(tx).await.unwrap();
            answered
        });
        eventually("the answer waits", || somebody_waits(&db)).await;
        db.commit(firing).await.unwrap();
        answer.await.unwrap().unwrap();
        assert_eq!(fired(&db).await, [1, 2]);
    });
}
