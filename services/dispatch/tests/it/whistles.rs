//! Whistles on real Postgres.

use dispatch::domain::ladder::Kind;
use dispatch::domain::whistle::{Command, decide};
use dispatch::domain::{AssignmentId, LadderId, Outcome, Target, UnitId, WhistleId};
use dispatch::store::directory::{Unit, put_unit};
use dispatch::{Error, operations, store, views};
use foundation::auth::Caller;
use foundation::id;
use local::testing::run;
use proto::common::v1::TargetRole;
use proto::dispatch::v1::{AssignmentState, RungState};

#[test]
fn a_whistle_on_a_unit_without_contacts_is_blown_and_says_what_is_missing() {
    run(async {
        let db = super::database().await;
        let unit = Unit { id: UnitId(id::new()), name: "无人单位".into(), contacts: Vec::new() };
        let mut tx = db.begin().await.unwrap();
        put_unit(&mut tx, &unit).await.unwrap();
        db.commit(tx).await.unwrap();
        let blown = super::blow(&db, &[unit.id], 0).await;
        let missing: Vec<_> = blown.missing_contacts.iter().map(|one| one.role()).collect();
        assert_eq!(missing, [TargetRole::Duty, TargetRole::Head, TargetRole::DeputyMayor]);
        let whistle = blown.whistle.unwrap();
        let mut tx = db.begin().await.unwrap();
        let stored = views::whistle(&mut tx, WhistleId(whistle.whistle_id.parse().unwrap())).await.unwrap();
        assert_eq!(whistle, stored, "what is answered is what is stored");
        let rungs = &whistle.assignments[0].ladders[0].rungs;
        assert_eq!(rungs[0].state(), RungState::Fired);
        assert!(rungs[1..].iter().all(|rung| rung.state() == RungState::Pending));
    });
}

#[test]
fn a_unit_with_every_contact_misses_nothing() {
    run(async {
        let db = super::database().await;
        let units = super::units(&db, 2).await;
        assert!(super::blow(&db, &units, 0).await.missing_contacts.is_empty());
        assert_eq!(Target::ALL.len(), 6);
    });
}

#[test]
fn a_withdrawn_whistle_stops_every_ladder_and_keeps_what_was_shown() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 2).await, 0).await.whistle.unwrap();
        let mut tx = db.begin().await.unwrap();
        let id = WhistleId(blown.whistle_id.parse().unwrap());
        let withdrawn = operations::withdraw(&mut tx, &Caller::anyone(), id, "误吹").await.unwrap();
        db.commit(tx).await.unwrap();
        for share in &withdrawn.assignments {
            assert_eq!(share.state(), AssignmentState::Withdrawn);
            let states: Vec<_> = share.ladders[0].rungs.iter().map(|rung| rung.state()).collect();
            assert_eq!(states, [RungState::Fired, RungState::Void, RungState::Void, RungState::Void]);
        }
        let waiting: i64 = sqlx::query_scalar("select count(*) from assignment where next_due_at is not null")
            .fetch_one(&db.work())
            .await
            .unwrap();
        assert_eq!(waiting, 0);
    });
}

#[test]
fn what_was_not_solved_goes_back_to_the_unit_with_a_new_deadline() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await.whistle.unwrap();
        let share = AssignmentId(blown.assignments[0].assignment_id.parse().unwrap());
        let mut tx = db.begin().await.unwrap();
        operations::answer(&mut tx, &Caller::anyone(), share, "甲").await.unwrap();
        operations::submit(&mut tx, &Caller::anyone(), share, "好了", &serde_json::json!([])).await.unwrap();
        let whistle = WhistleId(blown.whistle_id.parse().unwrap());
        operations::grade(&mut tx, whistle, Outcome::NotSolved).await.unwrap();
        let again =
            operations::submit(&mut tx, &Caller::anyone(), share, "这次真好了", &serde_json::json!([])).await.unwrap();
        let handling: Vec<_> = again.ladders[1..].iter().map(|ladder| ladder.generation).collect();
        assert_eq!(handling, [1, 2]);
        assert_eq!(again.state(), AssignmentState::Submitted);
    });
}

#[test]
fn the_running_ladder_is_the_loops_next_one_whatever_ids_the_hosts_clocks_drew() {
    run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await.whistle.unwrap();
        let mut tx = db.begin().await.unwrap();
        let before = store::load(&mut tx, WhistleId(blown.whistle_id.parse().unwrap())).await.unwrap();
        let (policy, now) = (store::policy::policy(&mut tx, 0).await.unwrap().unwrap(), super::now(&db).await);
        let share = before.whistle.assignments[0].id;
        // As if a host whose clock is far behind had drawn it.
        let command = Command::Answer { assignment: share, ladder: LadderId(uuid::Uuid::from_u128(1)) };
        let (after, events) = decide(&before.whistle, command, now, &policy).unwrap();
        store::save(&mut tx, &before, &after, &events, now).await.unwrap();
        let loaded = store::load(&mut tx, before.whistle.id).await.unwrap();
        let running = loaded.whistle.assignments[0].ladders.last().unwrap();
        assert!(running.runs() && running.kind == Kind::Handling);
    });
}

#[test]
fn over_one_grievance_there_is_one_open_whistle_at_a_time() {
    run(async {
        let db = super::database().await;
        let asked = super::asked(&db, &super::units(&db, 1).await, 0).await;
        let mut tx = db.begin().await.unwrap();
        let first = operations::blow::blow(&mut tx, &Caller::anyone(), asked.clone()).await.unwrap().whistle.unwrap();
        let second = operations::blow::blow(&mut tx, &Caller::anyone(), asked.clone()).await;
        assert!(matches!(second, Err(Error::OpenAlready(_))), "{second:?}");
        let first = WhistleId(first.whistle_id.parse().unwrap());
        operations::withdraw(&mut tx, &Caller::anyone(), first, "误报").await.unwrap();
        operations::blow::blow(&mut tx, &Caller::anyone(), asked).await.unwrap();
    });
}
