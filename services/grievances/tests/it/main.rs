//! Grievances, on real Postgres: the loop as the events of its whistle come in, in whatever order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use chrono::TimeDelta;
use foundation::base::time::to_wire;
use foundation::base::{Context, Timestamp, id};
use foundation::data::{Db, clock};
use foundation::log::inbox::Outcome as Applied;
use grievances::domain::grievance::{Changed, Command, Grade, New, Recorded};
use grievances::domain::{Difficulty, GrievanceId, Outcome, PhotoId, Satisfaction, State};
use grievances::operations::grievance::run;
use grievances::{Error, SCHEMA, photo_store, routes};
use proto::events::v1::whistle_ref::Subject;
use proto::events::v1::{AssignmentAnswered, AssignmentSubmitted, WhistleBlown, WhistleClosed, WhistleRef};
use testing::{database, person, receive};
use uuid::Uuid;

const AREA: &str = "150302004001";

async fn caller(rpc: &str, role: &str, area: &str) -> Context {
    let rpc = format!("/haiqu.grievances.v1.GrievanceService/{rpc}");
    testing::context(&rpc, &person(role, Some(area), None)).await
}

fn new() -> New {
    New {
        id: GrievanceId(id::new()),
        channel: "GRID_PATROL".into(),
        text: "烟味扰民".into(),
        place: "康乐社区".into(),
        area: AREA.into(),
        photos: Vec::new(),
        source: None,
        resident: Some("test-resident".into()),
    }
}

async fn done(db: &Db, context: &Context, command: Command) -> Result<Changed, Error> {
    let mut tx = db.begin().await.unwrap();
    let changed = run(&mut tx, context, command).await?;
    db.commit(tx).await.unwrap();
    Ok(changed)
}

async fn raised(db: &Db) -> GrievanceId {
    let worker = caller("SubmitGrievance", "grid_worker", AREA).await;
    done(db, &worker, Command::Raise(Box::new(new()))).await.unwrap().grievance.id
}

async fn reviewed(db: &Db) -> GrievanceId {
    let (id, street) = (raised(db).await, caller("ReviewGrievance", "street", "150302004").await);
    let until = clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap() + TimeDelta::days(3);
    let stages =
        [Recorded::Duty(vec![id::new()]), Recorded::Difficulty(Difficulty::Complex), Recorded::TimeLimit(until)];
    for stage in stages {
        done(db, &street, Command::Review(id, stage)).await.unwrap();
    }
    id
}

fn whistle(grievance: GrievanceId, area: &str) -> WhistleRef {
    WhistleRef {
        whistle_id: id::new().to_string(),
        subject: Some(Subject::GrievanceId(grievance.to_string())),
        area: area.into(),
        blow_time: Some(to_wire(Timestamp::UNIX_EPOCH)),
    }
}

fn blown(whistle: &WhistleRef) -> WhistleBlown {
    let matter = "HEATING".into();
    WhistleBlown { whistle: Some(whistle.clone()), matter, version: 1, ..WhistleBlown::default() }
}

fn answered(whistle: &WhistleRef) -> AssignmentAnswered {
    AssignmentAnswered { whistle: Some(whistle.clone()), version: 3, ..AssignmentAnswered::default() }
}

fn submitted(whistle: &WhistleRef) -> AssignmentSubmitted {
    let whistle = Some(whistle.clone());
    AssignmentSubmitted { whistle, version: 4, all_submitted: true, ..AssignmentSubmitted::default() }
}

async fn state(db: &Db) -> State {
    sqlx::query_scalar("select state from grievance").fetch_one(&db.work()).await.unwrap()
}

async fn parked(db: &Db) -> i64 {
    sqlx::query_scalar("select count(*) from inbox where state = 'parked'").fetch_one(&db.work()).await.unwrap()
}

#[test]
fn events_in_any_order_leave_the_state_of_the_newest() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let whistle = whistle(reviewed(&db).await, AREA);
        receive(&db, &routes(), &submitted(&whistle)).await;
        receive(&db, &routes(), &blown(&whistle)).await;
        receive(&db, &routes(), &answered(&whistle)).await;
        receive(&db, &routes(), &submitted(&whistle)).await;
        assert_eq!((state(&db).await, parked(&db).await), (State::Submitted, 0));
    });
}

#[test]
fn what_was_handed_in_is_graded_once_by_its_owner_and_others_learn_of_it() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let id = reviewed(&db).await;
        let whistle = whistle(id, AREA);
        receive(&db, &routes(), &blown(&whistle)).await;
        receive(&db, &routes(), &submitted(&whistle)).await;
        let grade = Grade { outcome: Outcome::Solved, satisfaction: Satisfaction::Satisfied, remark: "谢谢".into() };
        let owner = caller("GradeGrievance", "resident", AREA).await;
        let graded = done(&db, &owner, Command::Grade(id, grade.clone())).await.unwrap();
        assert_eq!(graded.grievance.state, State::Graded);
        let again = done(&db, &owner, Command::Grade(id, grade)).await;
        assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
        let events: i64 =
            sqlx::query_scalar("select count(*) from outbox where subject = 'haiqu.grievances.grievance.graded.v1'")
                .fetch_one(&db.work())
                .await
                .unwrap();
        assert_eq!(events, 1);
        let past: Vec<(String, String)> =
            sqlx::query_as("select kind, role from history order by version, at").fetch_all(&db.work()).await.unwrap();
        assert_eq!(past[0], ("raised".into(), "grid_worker".into()));
        assert_eq!(past.last().unwrap(), &("graded".into(), "resident".into()));
    });
}

#[test]
fn as_many_statements_take_up_what_many_events_say_as_what_one_says() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let mut events = Vec::new();
        for _ in 0..5 {
            let whistle = whistle(reviewed(&db).await, AREA);
            events.push(testing::envelope(&blown(&whistle), Timestamp::UNIX_EPOCH));
            events.push(testing::envelope(&answered(&whistle), Timestamp::UNIX_EPOCH));
        }
        let one = testing::statements(&db, &routes(), &events[..1]).await;
        assert_eq!(one, testing::statements(&db, &routes(), &events[1..]).await);
        let handled = "select count(*) from grievance where state = 'handling' and matter = 'HEATING' and version = 6";
        let handled: i64 = sqlx::query_scalar(handled).fetch_one(&db.work()).await.unwrap();
        assert_eq!((handled, parked(&db).await), (5, 0));
    });
}

#[test]
fn an_event_about_a_grievance_that_nobody_knows_is_parked() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let whistle = whistle(GrievanceId(id::new()), AREA);
        assert_eq!(receive(&db, &routes(), &blown(&whistle)).await, Applied::Handled);
        assert_eq!(parked(&db).await, 1);
    });
}

#[test]
fn a_whistle_of_another_area_says_nothing_of_a_grievance() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let whistle = whistle(reviewed(&db).await, "150302005");
        let closed = WhistleClosed { whistle: Some(whistle), version: 9, ..WhistleClosed::default() };
        receive(&db, &routes(), &closed).await;
        assert_eq!((state(&db).await, parked(&db).await), (State::Reviewed, 1));
    });
}

#[test]
fn another_streets_grievance_is_not_there_to_be_reviewed_and_another_residents_not_to_be_graded() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let id = raised(&db).await;
        let street = caller("ReviewGrievance", "street", "150302005").await;
        let refused = done(&db, &street, Command::Review(id, Recorded::Duty(vec![Uuid::max()]))).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
        let mut other = person("resident", Some(AREA), None);
        other.sub = "another".into();
        let other = testing::context("/haiqu.grievances.v1.GrievanceService/GradeGrievance", &other).await;
        let grade = Grade { outcome: Outcome::Solved, satisfaction: Satisfaction::Satisfied, remark: String::new() };
        let refused = done(&db, &other, Command::Grade(id, grade)).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    });
}

#[test]
fn a_column_or_photo_that_does_not_exist_is_refused_naming_the_field() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let worker = caller("SubmitGrievance", "grid_worker", AREA).await;
        for (new, named) in [
            (New { channel: "PIGEON".into(), ..new() }, "channel"),
            (New { photos: vec![PhotoId(id::new())], ..new() }, "photo_ids[0]"),
        ] {
            let refused = done(&db, &worker, Command::Raise(Box::new(new))).await.unwrap_err();
            assert!(matches!(&refused, Error::Invalid(invalid) if invalid.fields().eq([named])), "{refused:?}");
        }
    });
}

#[test]
fn photos_are_kept_under_their_ids_in_the_folder_that_is_named() {
    testing::run(async {
        let folder = std::env::temp_dir().join(format!("photos-{}", id::new()));
        let store = photo_store::open(&format!("file://{}", folder.display())).unwrap();
        let id = PhotoId(id::new());
        for _ in 0..2 {
            store.keep(id, vec![1, 2, 3]).await.unwrap();
        }
        assert_eq!(std::fs::read(folder.join(format!("{id}.jpg"))).unwrap(), [1, 2, 3]);
        std::fs::remove_dir_all(folder).unwrap();
        assert!(photo_store::open("ftp://nowhere").is_err());
    });
}
