//! What only real locks can show.

use dispatch::Error;
use dispatch::domain::command::{Command, Refusal};
use dispatch::domain::ladder::{Fired, Rung};
use dispatch::domain::{AssignmentState, Kind, UnitId, directory};
use dispatch::operations;
use dispatch::schedule::Firing;
use dispatch::store::{ladder, policy};
use foundation::data::Db;
use testing::eventually;

use super::{answer, centre, done, run, submit};

/// Somebody stands in a queue for a lock.
async fn somebody_waits(db: &Db) -> bool {
    let asked = sqlx::query_scalar(
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
    );
    asked.fetch_one(&db.rpc()).await.unwrap()
}

#[test]
fn of_two_answers_at_once_the_second_learns_of_the_first() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await;
        let assignment = blown.whistle.assignments[0].id;
        let mut first = db.begin().await.unwrap();
        run(&mut first, answer(assignment, "甲")).await.unwrap();
        let other = db.clone();
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            run(&mut tx, answer(assignment, "乙")).await.map(|_| ())
        });
        eventually("the second waits", || somebody_waits(&db)).await;
        db.commit(first).await.unwrap();
        let refused = second.await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::Assignment(AssignmentState::Answered))), "{refused:?}");
    });
}

#[test]
fn of_two_who_enter_a_unit_first_the_second_makes_another_version_and_not_the_same_anew() {
    testing::run(async {
        let db = super::database().await;
        let id = UnitId(foundation::base::id::new());
        let put = |name: &str| directory::Command::PutUnit { id, name: name.into(), contacts: vec![], read: None };
        let mut first = db.begin().await.unwrap();
        operations::directory::run(&mut first, &centre().await, put("甲")).await.unwrap();
        let (other, second) = (db.clone(), put("乙"));
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            operations::directory::run(&mut tx, &centre().await, second).await.unwrap().version
        });
        eventually("the second waits", || somebody_waits(&db)).await;
        db.commit(first).await.unwrap();
        assert_eq!(second.await.unwrap(), 2);
    });
}

#[test]
fn a_whistle_closes_when_its_last_two_assignments_are_confirmed_at_once() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 2).await, 0).await;
        let assignments: Vec<_> = blown.whistle.assignments.iter().map(|assignment| assignment.id).collect();
        for assignment in &assignments {
            done(&db, answer(*assignment, "甲")).await;
            done(&db, submit(*assignment)).await;
        }
        let mut first = db.begin().await.unwrap();
        run(&mut first, Command::Confirm { assignment: assignments[0] }).await.unwrap();
        let (other, last) = (db.clone(), assignments[1]);
        let second = tokio::spawn(async move { done(&other, Command::Confirm { assignment: last }).await });
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
    let mut short = policy::get(&mut tx, 0).await.unwrap().unwrap();
    short.answer[1].after_ms = 1;
    let (version, _) = policy::add(&mut tx, &short).await.unwrap();
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
    testing::run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let units = super::units(&db, 3).await;
        for _ in 0..10 {
            super::blow(&db, &units, version).await;
        }
        let replicas = (0..4).map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut firing = Firing::new(db.session(), &centre().await);
                for _ in 0..20 {
                    firing.fire_due(7, &[]).await.unwrap();
                }
            })
        });
        for replica in replicas.collect::<Vec<_>>() {
            replica.await.unwrap();
        }
        assert_eq!(fired(&db).await.iter().filter(|number| **number == 2).count(), 30);
        let events: i64 =
            sqlx::query_scalar("select count(*) from outbox where subject = 'haiqu.dispatch.rung.fired.v1'")
                .fetch_one(&db.work())
                .await
                .unwrap();
        assert_eq!(events, 60);
    });
}

#[test]
fn a_rung_that_has_fired_cannot_be_written_as_fired_again() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await;
        let assignment = &blown.whistle.assignments[0];
        let now = super::now(&db).await;
        let rung =
            Rung { number: 1, due_at: now, fired_at: Some(now), platform_fault: false, card: None, annul_reason: None };
        let again = Fired { ladder: assignment.ladders[0].id, kind: Kind::Answer, generation: 1, rung };
        let mut tx = db.begin().await.unwrap();
        let policy = policy::get(&mut tx, 0).await.unwrap().unwrap();
        let firing = ladder::Firing { assignment: assignment.id, fired: &again, policy: &policy };
        let refused = ladder::fire(&mut tx, &[firing], &[]).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::FiredAlready))), "{refused:?}");
    });
}

#[test]
fn an_answer_first_fires_what_is_due_and_then_nothing_more() {
    testing::run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let blown = super::blow(&db, &super::units(&db, 1).await, version).await;
        let due = super::now(&db).await + chrono::TimeDelta::milliseconds(2);
        eventually("the second rung is due", || async { super::now(&db).await > due }).await;
        done(&db, answer(blown.whistle.assignments[0].id, "甲")).await;
        assert_eq!(fired(&db).await, [1, 2]);
        assert_eq!(Firing::new(db.session(), &centre().await).fire_due(100, &[]).await.unwrap(), 0);
    });
}

#[test]
fn a_rung_fires_while_another_unit_of_its_whistle_is_answering_and_a_withdrawal_locks_them_all() {
    testing::run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let blown = super::blow(&db, &super::units(&db, 2).await, version).await;
        let due = super::now(&db).await + chrono::TimeDelta::milliseconds(2);
        eventually("the second rungs are due", || async { super::now(&db).await > due }).await;
        let mut answering = db.begin().await.unwrap();
        run(&mut answering, answer(blown.whistle.assignments[1].id, "甲")).await.unwrap();
        let mut firing = Firing::new(db.session(), &centre().await);
        assert_eq!(firing.fire_due(100, &[]).await.unwrap(), 1, "the other's");
        answering.rollback().await.unwrap();
        let mut withdrawing = db.begin().await.unwrap();
        let withdraw = Command::Withdraw { whistle: blown.whistle.id, reason: "误报".into() };
        run(&mut withdrawing, withdraw).await.unwrap();
        assert_eq!(firing.fire_due(100, &[]).await.unwrap(), 0, "all of them are its");
    });
}

#[test]
fn an_answer_waits_for_the_rung_that_is_being_fired_and_does_not_fire_it_again() {
    testing::run(async {
        let db = super::database().await;
        let version = short_policy(&db).await;
        let blown = super::blow(&db, &super::units(&db, 1).await, version).await;
        let assignment = blown.whistle.assignments[0].id;
        let due = super::now(&db).await + chrono::TimeDelta::milliseconds(2);
        eventually("the second rung is due", || async { super::now(&db).await > due }).await;
        let mut tx = db.begin().await.unwrap();
        assert_eq!(ladder::take_due(&mut tx, 10, &[]).await.unwrap().len(), 1);
        let (mut ladders, now) = ladder::load(&mut tx, &[assignment]).await.unwrap();
        let mut running = ladders.remove(&assignment).unwrap().remove(0);
        let policy = policy::get(&mut tx, version).await.unwrap().unwrap();
        let fired_now = running.fire(now, &policy).remove(0);
        ladder::fire(&mut tx, &[ladder::Firing { assignment, fired: &fired_now, policy: &policy }], &[]).await.unwrap();
        let other = db.clone();
        let answering = tokio::spawn(async move { done(&other, answer(assignment, "甲")).await });
        eventually("the answer waits", || somebody_waits(&db)).await;
        db.commit(tx).await.unwrap();
        answering.await.unwrap();
        assert_eq!(fired(&db).await, [1, 2]);
    });
}
