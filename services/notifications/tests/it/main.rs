//! Notifications, on real Postgres: what a rung asks for is written down once, and taken up by one process at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::db::{self, Db};
use foundation::{clock, id};
use local::testing::{eventually, run};
use notifications::domain::{Card, Kind, State, Target};
use notifications::operations::calls;
use notifications::operations::hear::{Asked, Rung, rungs_fired};
use notifications::operations::sending::Taken;
use notifications::store::{self, accepted, ended, free_orphans, take_tasks, undeliverable};
use notifications::{Error, SCHEMA};

async fn take(db: &Db, limit: i64) -> Result<Vec<Taken>, Error> {
    store::take(&mut *db.work().acquire().await?, &db.instance, limit).await
}

async fn database() -> (Db, secrecy::SecretString) {
    let url = local::testing::database().await.unwrap().into();
    db::migrate(&url, SCHEMA).await.unwrap();
    (db::connect(&url, SCHEMA).await.unwrap(), url)
}

async fn rung(db: &Db) -> Rung {
    Rung {
        whistle: id::new(),
        assignment: id::new(),
        ladder: id::new(),
        kind: Kind::Answer,
        number: 2,
        due_at: clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap(),
        check_after_ms: 60_000,
        drill: false,
        asked: vec![
            Asked::Sms { id: id::new(), text: 2, target: Target::Duty },
            Asked::Sms { id: id::new(), text: 2, target: Target::Head },
            Asked::Call { id: id::new(), card: Some(Card::Yellow), caller: Target::CentreHead, callee: Target::Head },
        ],
        traceparent: None,
    }
}

async fn hear(db: &Db, rung: &Rung) {
    let mut tx = db.begin().await.unwrap();
    rungs_fired(&mut tx, std::slice::from_ref(rung)).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn a_rung_heard_twice_asks_for_its_effects_once() {
    run(async {
        let (db, _) = database().await;
        let rung = rung(&db).await;
        hear(&db, &rung).await;
        hear(&db, &rung).await;
        assert_eq!(take(&db, 10).await.unwrap().len(), 2);
        assert_eq!(take_tasks(&db).await.unwrap().len(), 1);
    });
}

#[test]
fn what_one_process_has_taken_up_no_other_takes() {
    run(async {
        let (db, url) = database().await;
        hear(&db, &rung(&db).await).await;
        let other = db::connect(&url, SCHEMA).await.unwrap();
        assert_eq!(take(&db, 1).await.unwrap().len(), 1);
        assert_eq!(take(&other, 10).await.unwrap().len(), 1);
        assert!(take(&other, 10).await.unwrap().is_empty());
        free_orphans(&other).await.unwrap();
        assert!(take(&other, 10).await.unwrap().is_empty(), "its holder lives");
    });
}

#[test]
fn what_a_dead_process_had_taken_up_is_free_within_a_second() {
    run(async {
        let (db, url) = database().await;
        hear(&db, &rung(&db).await).await;
        // Before that nobody may say that another process is gone.
        eventually("everybody has connected", || async {
            sqlx::query_scalar("select all_connected()").fetch_one(&db.work()).await.unwrap()
        })
        .await;
        let dying = db::connect(&url, SCHEMA).await.unwrap();
        assert_eq!(take(&dying, 10).await.unwrap().len(), 2);
        dying.rpc().close().await;
        dying.work().close().await;
        let began = std::time::Instant::now();
        eventually("both are taken up again", || async {
            free_orphans(&db).await.unwrap();
            take(&db, 10).await.unwrap().len() == 2
        })
        .await;
        // The lease itself is 4 s: what is asserted is that nobody waited for it.
        assert!(began.elapsed() < std::time::Duration::from_millis(3500), "{:?}", began.elapsed());
    });
}

#[test]
fn in_a_drill_nothing_is_ever_taken_up() {
    run(async {
        let (db, _) = database().await;
        hear(&db, &Rung { drill: true, ..rung(&db).await }).await;
        assert!(take(&db, 10).await.unwrap().is_empty());
        assert!(take_tasks(&db).await.unwrap().is_empty());
    });
}

#[test]
fn a_call_is_recorded_once_and_told_to_others() {
    run(async {
        let (db, _) = database().await;
        hear(&db, &rung(&db).await).await;
        let task = take_tasks(&db).await.unwrap().remove(0).id;
        let mut tx = db.begin().await.unwrap();
        let now = clock::now(&mut tx).await.unwrap();
        let early = calls::record(&mut tx, task, "主任", now, "已告知").await;
        assert!(matches!(early, Err(Error::Task("resolving"))), "nobody can have called yet: {early:?}");
        sqlx::query("update call_task set state = 'open'").execute(&mut *tx).await.unwrap();
        let recorded = calls::record(&mut tx, task, "主任", now, "已告知").await.unwrap();
        assert_eq!(recorded.record.unwrap().said, "已告知");
        let again = calls::record(&mut tx, task, "主任", now, "又告知").await;
        assert!(matches!(again, Err(Error::Task("recorded"))));
        let told: i64 = sqlx::query_scalar("select count(*) from outbox").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(told, 1);
    });
}

#[test]
fn nothing_is_taken_up_while_a_restore_is_held_and_then_the_gateway_is_asked_first() {
    run(async {
        let (db, _) = database().await;
        hear(&db, &rung(&db).await).await;
        sqlx::query("update log_head set held_at = now()").execute(&db.work()).await.unwrap();
        assert!(take(&db, 10).await.unwrap().is_empty());
        assert!(take_tasks(&db).await.unwrap().is_empty());
        let leaving: i64 = sqlx::query_scalar("select count(*) from leaving").fetch_one(&db.work()).await.unwrap();
        assert_eq!(leaving, 3, "two reminders and a call wait");
        sqlx::query("update log_head set held_at = null, doubtful_before = now()").execute(&db.work()).await.unwrap();
        let taken = take(&db, 10).await.unwrap();
        assert!(taken.len() == 2 && taken.iter().all(|message| message.doubtful));
        hear(&db, &rung(&db).await).await;
        assert!(!take(&db, 1).await.unwrap()[0].doubtful, "what is due after the release never left before");
        assert_eq!(take_tasks(&db).await.unwrap().len(), 2);
    });
}

#[test]
fn a_stale_attempt_neither_ends_a_message_nor_touches_an_accepted_one() {
    run(async {
        let (db, _) = database().await;
        hear(&db, &rung(&db).await).await;
        take(&db, 1).await.unwrap();
        let id =
            sqlx::query_scalar("select id from message where state = 'sending'").fetch_one(&db.work()).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        assert!(!ended(&mut tx, id, 2, State::Superseded).await.unwrap(), "the lease is another's");
        let recorded = accepted(&mut tx, &[(id, "138****0000".into())]).await.unwrap();
        assert_eq!(recorded.iter().map(|(id, _)| *id).collect::<Vec<uuid::Uuid>>(), [id]);
        assert!(!ended(&mut tx, id, 1, State::Failed).await.unwrap(), "the gateway has it");
        assert!(undeliverable(&mut tx, id).await.unwrap());
    });
}
