//! Grievances, on real Postgres: the loop as the facts of its whistle come in, in whatever order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use chrono::TimeDelta;
use foundation::auth::Caller;
use foundation::clock;
use foundation::db::{self, Db};
use foundation::id;
use grievances::domain::{Command, Difficulty, Outcome, Satisfaction, State, Whistle};
use grievances::store::{Grade, New};
use grievances::{Error, SCHEMA, operations, photos};
use local::testing::run;
use proto::grievances::v1::GrievanceState;
use uuid::Uuid;

const AREA: &str = "150302004001";

async fn database() -> Db {
    let url = local::testing::database().await.unwrap().into();
    db::migrate(&url, SCHEMA).await.unwrap();
    db::connect(&url, SCHEMA).await.unwrap()
}

fn new() -> New {
    New {
        channel: "GRID_PATROL".into(),
        text: "烟味扰民".into(),
        place: "康乐社区".into(),
        area: AREA.into(),
        photo_ids: Vec::new(),
        source: None,
        owner: "resident".into(),
        submitter: "grid-worker".into(),
    }
}

async fn reviewed(db: &Db) -> Uuid {
    let mut tx = db.begin().await.unwrap();
    let raised = operations::submit(&mut tx, &Caller::anyone(), &new()).await.unwrap();
    let id = raised.grievance_id.parse().unwrap();
    let until = clock::now(&mut tx).await.unwrap() + TimeDelta::days(3);
    for stage in [Command::Duty(vec![id::new()]), Command::Difficulty(Difficulty::Complex), Command::TimeLimit(until)] {
        operations::review(&mut tx, &Caller::anyone(), id, stage).await.unwrap();
    }
    db.commit(tx).await.unwrap();
    id
}

async fn hear(db: &Db, grievance: Uuid, whistle: Uuid, facts: &[(i64, State)]) {
    for (version, state) in facts {
        let mut tx = db.begin().await.unwrap();
        let whistle = Whistle { blown_at: clock::Timestamp::UNIX_EPOCH, id: whistle, version: *version };
        operations::hear(&mut tx, grievance, AREA, whistle, *state).await.unwrap();
        db.commit(tx).await.unwrap();
    }
}

async fn state(db: &Db) -> String {
    sqlx::query_scalar("select state from grievance").fetch_one(&db.work()).await.unwrap()
}

#[test]
fn facts_in_any_order_leave_the_state_of_the_newest() {
    run(async {
        let (db, whistle) = (database().await, id::new());
        let grievance = reviewed(&db).await;
        let facts = [(4, State::Submitted), (1, State::Whistled), (3, State::Handling), (4, State::Submitted)];
        hear(&db, grievance, whistle, &facts).await;
        assert_eq!(state(&db).await, "submitted");
    });
}

#[test]
fn what_was_handed_in_is_graded_once_and_told_to_others() {
    run(async {
        let (db, whistle) = (database().await, id::new());
        let grievance = reviewed(&db).await;
        hear(&db, grievance, whistle, &[(1, State::Whistled), (2, State::Submitted)]).await;
        let grade = Grade { outcome: Outcome::Solved, satisfaction: Satisfaction::Satisfied, remark: "谢谢".into() };
        let mut tx = db.begin().await.unwrap();
        let graded = operations::grade(&mut tx, &Caller::anyone(), grievance, &grade).await.unwrap();
        assert_eq!(graded.state(), GrievanceState::Graded);
        db.commit(tx).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let again = operations::grade(&mut tx, &Caller::anyone(), grievance, &grade).await;
        assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
        let told =
            sqlx::query_scalar("select count(*) from outbox where subject = 'haiqu.grievances.grievance.graded.v1'");
        let told: i64 = told.fetch_one(&db.work()).await.unwrap();
        assert_eq!(told, 1);
    });
}

#[test]
fn a_fact_about_a_grievance_that_nobody_knows_is_not_applied() {
    run(async {
        let db = database().await;
        let mut tx = db.begin().await.unwrap();
        let whistle = Whistle { blown_at: clock::Timestamp::UNIX_EPOCH, id: id::new(), version: 1 };
        let heard = operations::hear(&mut tx, id::new(), AREA, whistle, State::Whistled).await;
        assert!(matches!(heard, Err(Error::NotFound(_))));
    });
}

#[test]
fn a_whistle_of_another_area_says_nothing_of_a_grievance() {
    run(async {
        let db = database().await;
        let grievance = reviewed(&db).await;
        let mut tx = db.begin().await.unwrap();
        let whistle = Whistle { blown_at: clock::Timestamp::UNIX_EPOCH, id: id::new(), version: 1 };
        let heard = operations::hear(&mut tx, grievance, "150302005", whistle, State::Closed).await;
        assert!(matches!(heard, Err(Error::NotFound(_))), "{heard:?}");
        assert_eq!(state(&db).await, "reviewed");
    });
}

#[test]
fn a_column_or_photo_that_does_not_exist_is_refused_naming_the_field() {
    run(async {
        let db = database().await;
        for (new, named) in [
            (New { channel: "PIGEON".into(), ..new() }, "channel"),
            (New { photo_ids: vec![id::new()], ..new() }, "photo_ids[0]"),
        ] {
            let mut tx = db.begin().await.unwrap();
            let refused = operations::submit(&mut tx, &Caller::anyone(), &new).await.unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == named), "{refused:?}");
        }
    });
}

#[test]
fn photos_are_kept_under_their_ids_in_the_folder_that_is_named() {
    run(async {
        let folder = std::env::temp_dir().join(format!("photos-{}", id::new()));
        let store = photos::open(&format!("file://{}", folder.display())).unwrap();
        let id = id::new();
        for _ in 0..2 {
            store.keep(id, vec![1, 2, 3]).await.unwrap();
        }
        assert_eq!(std::fs::read(folder.join(format!("{id}.jpg"))).unwrap(), [1, 2, 3]);
        std::fs::remove_dir_all(folder).unwrap();
        assert!(photos::open("ftp://nowhere").is_err());
    });
}
