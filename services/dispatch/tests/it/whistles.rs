//! Whistles on real Postgres.

use dispatch::domain::command::{Command, Key, Refusal};
use dispatch::domain::whistle::decide;
use dispatch::domain::{AssignmentState, GrievanceId, Kind, LadderId, Outcome, Target};
use dispatch::views::assignment::Assignment;
use dispatch::{Error, routes, store, views};
use foundation::base::id;
use proto::events::v1::{Actor, GrievanceGraded};
use testing::person;

use super::{answer, asked, centre, done, run, submit};

#[test]
fn a_whistle_on_a_unit_without_contacts_is_blown_and_says_what_is_missing() {
    testing::run(async {
        let db = super::database().await;
        let unit = super::put_unit(&db, "无人单位", Vec::new()).await;
        let blown = super::blow(&db, &[unit], 0).await;
        let missing: Vec<_> = blown.missing.iter().map(|one| one.role).collect();
        assert_eq!(missing, [Target::Duty, Target::Head, Target::DeputyMayor]);
        let mut connection = db.work().acquire().await.unwrap();
        let (row, assignments) =
            views::whistle::get(&mut connection, &centre().await.scope, blown.whistle.id).await.unwrap();
        assert_eq!((row.id, row.version), (blown.whistle.id.0, 1));
        let fired: Vec<_> = assignments[0].ladders[0].rungs.iter().map(|rung| rung.fired_at.is_some()).collect();
        assert_eq!(fired, [true, false, false, false]);
    });
}

#[test]
fn a_unit_with_every_contact_misses_nothing() {
    testing::run(async {
        let db = super::database().await;
        let units = super::units(&db, 2).await;
        assert!(super::blow(&db, &units, 0).await.missing.is_empty());
    });
}

#[test]
fn a_withdrawn_whistle_stops_every_ladder_and_keeps_what_was_shown() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 2).await, 0).await;
        let withdrawn = done(&db, Command::Withdraw { whistle: blown.whistle.id, reason: "误吹".into() }).await;
        for assignment in &withdrawn.whistle.assignments {
            assert_eq!(assignment.state, AssignmentState::Withdrawn);
            assert!(!assignment.ladders[0].runs() && assignment.ladders[0].next_due().is_none());
            let fired: Vec<_> = assignment.ladders[0].rungs.iter().map(|rung| rung.fired_at.is_some()).collect();
            assert_eq!(fired, [true, false, false, false]);
        }
        let waiting: i64 = sqlx::query_scalar("select count(*) from assignment where next_due_at is not null")
            .fetch_one(&db.work())
            .await
            .unwrap();
        assert_eq!(waiting, 0);
        // A grade comes too late for it: nothing changes, so nobody is told of another version.
        let grade = Command::Grade { whistle: blown.whistle.id, outcome: Outcome::Solved, drawn: id::new() };
        assert_eq!(done(&db, grade).await.whistle.version, withdrawn.whistle.version);
    });
}

#[test]
fn what_was_not_solved_goes_back_to_the_unit_with_a_new_deadline_and_every_grade_stays_on_record() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await;
        let assignment = blown.whistle.assignments[0].id;
        done(&db, answer(assignment, "甲")).await;
        done(&db, submit(assignment)).await;
        let graded = GrievanceGraded {
            grievance_id: blown.whistle.grievance.to_string(),
            whistle_id: blown.whistle.id.to_string(),
            outcome: proto::common::v1::Outcome::NotSolved.into(),
            version: 5,
            actor: Some(Actor { subject: "li-ayi".into(), role: "resident".into() }),
            ..GrievanceGraded::default()
        };
        for _ in 0..2 {
            testing::receive(&db, &routes(), &graded).await;
        }
        let again = done(&db, submit(assignment)).await;
        let handling: Vec<_> = again.whistle.assignments[0].ladders[1..].iter().map(|one| one.generation).collect();
        assert_eq!(handling, [1, 2]);
        assert_eq!(again.whistle.assignments[0].state, AssignmentState::Submitted);
        done(&db, Command::Grade { whistle: blown.whistle.id, outcome: Outcome::Solved, drawn: id::new() }).await;
        let grades: Vec<String> =
            sqlx::query_scalar("select outcome from grade order by graded_at").fetch_all(&db.work()).await.unwrap();
        assert_eq!(grades, ["not_solved", "solved"]);
        let by: Vec<String> = sqlx::query_scalar("select actor from history where kind = 'graded' order by version")
            .fetch_all(&db.work())
            .await
            .unwrap();
        assert_eq!(by, ["li-ayi", "test-centre"], "a subscriber acts in the name of who did what it received");
    });
}

#[test]
fn the_running_ladder_is_the_loops_next_one_whatever_ids_the_hosts_clocks_drew() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await;
        let (key, scope) = (Key::Whistle(blown.whistle.id), centre().await.scope);
        let mut tx = db.begin().await.unwrap();
        let (before, policy, now) = store::whistle::load(&mut tx, &scope, key).await.unwrap();
        let assignment = before.assignments[0].id;
        // As if a host whose clock is far behind had drawn it.
        let ladder = LadderId(uuid::Uuid::from_u128(1));
        let command = Command::Answer { assignment, ladder, responsible_person: "甲".into() };
        let (after, events) = decide(Some(&before), command, now, &policy).unwrap();
        store::whistle::save(&mut tx, Some(&before), &after, &events, &policy, now).await.unwrap();
        let (loaded, ..) = store::whistle::load(&mut tx, &scope, key).await.unwrap();
        let running = loaded.assignments[0].ladders.last().unwrap();
        assert!(running.runs() && running.kind == Kind::Handling);
    });
}

#[test]
fn over_one_grievance_there_is_one_open_whistle_at_a_time() {
    testing::run(async {
        let db = super::database().await;
        let (units, grievance) = (super::units(&db, 1).await, GrievanceId(id::new()));
        let mut tx = db.begin().await.unwrap();
        let first = run(&mut tx, asked(&db, grievance, &units, 0).await).await.unwrap();
        let second = run(&mut tx, asked(&db, grievance, &units, 0).await).await;
        assert!(matches!(second, Err(Error::Refused(Refusal::OpenAlready(_)))), "{second:?}");
        run(&mut tx, Command::Withdraw { whistle: first.whistle.id, reason: "误报".into() }).await.unwrap();
        run(&mut tx, asked(&db, grievance, &units, 0).await).await.unwrap();
    });
}

#[test]
fn another_streets_whistle_is_not_there_to_be_withdrawn_and_another_units_not_to_be_answered() {
    testing::run(async {
        let db = super::database().await;
        let blown = super::blow(&db, &super::units(&db, 1).await, 0).await.whistle;
        let street = person("street", Some("150302005"), None);
        let street = testing::context("/haiqu.dispatch.v1.WhistleService/WithdrawWhistle", &street).await;
        let unit = person("unit", None, Some(id::new()));
        let unit = testing::context("/haiqu.dispatch.v1.WhistleService/AnswerAssignment", &unit).await;
        let withdraw = Command::Withdraw { whistle: blown.id, reason: "误吹".into() };
        for (context, command) in [(street, withdraw), (unit, answer(blown.assignments[0].id, "甲"))] {
            let mut tx = db.begin().await.unwrap();
            let refused = dispatch::operations::whistle::run(&mut tx, &context, command).await;
            assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_unit_learns_of_another_units_part_only_whose_it_is_and_how_far() {
    testing::run(async {
        let db = super::database().await;
        let units = super::units(&db, 2).await;
        let blown = super::blow(&db, &units, 0).await.whistle;
        for (assignment, who) in blown.assignments.iter().zip(["甲", "乙"]) {
            done(&db, answer(assignment.id, who)).await;
        }
        let unit = person("unit", None, Some(units[0].0));
        let unit = testing::context("/haiqu.dispatch.v1.WhistleService/GetWhistle", &unit).await;
        let mut connection = db.work().acquire().await.unwrap();
        let (_, shown) = views::whistle::get(&mut connection, &unit.scope, blown.id).await.unwrap();
        let told = |one: &Assignment| (one.row.responsible_person.clone(), one.row.state, one.ladders.is_empty());
        let answered = AssignmentState::Answered;
        let expected = [(Some("甲".to_owned()), answered, false), (None, answered, true)];
        assert_eq!(shown.iter().map(told).collect::<Vec<_>>(), expected);
    });
}
