//! Oversight, on real Postgres: one case a rung, held where the platform was late, corrected where a card was annulled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::db::{self, Db};
use foundation::{clock, id};
use local::testing::run;
use oversight::domain::texts::Card;
use oversight::operations::{NewCase, correct, open_case, release};
use oversight::store::{again, first_sent, hold, pushed, take, take_corrections};
use oversight::{Error, SCHEMA};
use proto::oversight::v1::CaseState;

async fn database() -> Db {
    let url = local::testing::database().await.unwrap().into();
    db::migrate(&url, SCHEMA).await.unwrap();
    db::connect(&url, SCHEMA).await.unwrap()
}

async fn case(db: &Db) -> NewCase {
    NewCase {
        id: id::new(),
        whistle: id::new(),
        assignment: id::new(),
        ladder: id::new(),
        unit: id::new(),
        due_at: clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap(),
        platform_fault_after_ms: 300_000,
        drill: false,
    }
}

async fn open(db: &Db, case: &NewCase) {
    let mut tx = db.begin().await.unwrap();
    open_case(&mut tx, case).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn a_rung_heard_twice_makes_one_case_and_a_drill_none_that_leaves() {
    run(async {
        let db = database().await;
        let case = case(&db).await;
        open(&db, &case).await;
        open(&db, &case).await;
        open(&db, &NewCase { id: id::new(), drill: true, ..case }).await;
        assert_eq!(take(&db, 10).await.unwrap().len(), 1);
        assert!(take(&db, 10).await.unwrap().is_empty(), "it is under lease");
    });
}

#[test]
fn a_held_case_leaves_only_after_its_release() {
    run(async {
        let db = database().await;
        let case = case(&db).await;
        open(&db, &case).await;
        let mut tx = db.begin().await.unwrap();
        let refused = release(&mut tx, case.id).await;
        assert!(matches!(refused, Err(Error::NotHeld("pending"))), "{refused:?}");
        tx.rollback().await.unwrap();
        assert_eq!(take(&db, 10).await.unwrap().len(), 1);
        hold(&db, case.id, 1).await.unwrap();
        assert!(take(&db, 10).await.unwrap().is_empty());
        let mut tx = db.begin().await.unwrap();
        assert_eq!(release(&mut tx, case.id).await.unwrap().state(), CaseState::Pending);
        db.commit(tx).await.unwrap();
        assert_eq!(take(&db, 10).await.unwrap().len(), 1);
    });
}

#[test]
fn a_card_annulled_after_the_push_makes_one_correction_and_before_it_none() {
    run(async {
        let db = database().await;
        let case = case(&db).await;
        open(&db, &case).await;
        let annul = async |name: &str| {
            let mut tx = db.begin().await.unwrap();
            correct(&mut tx, case.assignment, Card::Yellow, name).await.unwrap();
            db.commit(tx).await.unwrap();
        };
        annul("before").await;
        take(&db, 10).await.unwrap();
        assert!(!first_sent(&db, case.id, 2).await.unwrap(), "a stale lease sends nothing");
        assert!(first_sent(&db, case.id, 1).await.unwrap());
        let mut tx = db.begin().await.unwrap();
        let now = clock::now(&mut tx).await.unwrap();
        assert!(pushed(&mut tx, case.id, "YG-1", now).await.unwrap());
        assert!(!pushed(&mut tx, case.id, "YG-2", now).await.unwrap(), "a receipt is recorded once");
        db.commit(tx).await.unwrap();
        annul("after").await;
        annul("after").await;
        assert_eq!(take_corrections(&db, 10).await.unwrap().len(), 1);
    });
}

#[test]
fn only_what_the_platform_did_not_take_is_its_own_delay() {
    run(async {
        let db = database().await;
        open(&db, &case(&db).await).await;
        let offered = async || {
            sqlx::query("update case_file set attempt_at = now() - interval '1 s'").execute(&db.work()).await.unwrap();
            let taken = take(&db, 10).await.unwrap().remove(0);
            (taken.offered, taken.doubtful)
        };
        assert_eq!(offered().await, (false, false));
        let id = sqlx::query_scalar("select id from case_file").fetch_one(&db.work()).await.unwrap();
        again(&db, id, 1, chrono::TimeDelta::zero(), false).await.unwrap();
        assert_eq!(offered().await, (false, true), "we failed before it was offered");
        again(&db, id, 2, chrono::TimeDelta::zero(), true).await.unwrap();
        assert_eq!(offered().await, (true, true));
    });
}

#[test]
fn nothing_is_taken_up_while_a_restore_is_held() {
    run(async {
        let db = database().await;
        open(&db, &case(&db).await).await;
        sqlx::query("update log_head set held_at = now()").execute(&db.work()).await.unwrap();
        assert!(take(&db, 10).await.unwrap().is_empty());
        sqlx::query("update log_head set held_at = null, doubtful_before = now()").execute(&db.work()).await.unwrap();
        assert!(
            take(&db, 10).await.unwrap().remove(0).doubtful,
            "it may have left before the restore: 阳光+ is asked first"
        );
    });
}
