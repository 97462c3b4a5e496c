//! What leaves the house: taken up by one process at a time, handed over once, asked for where it may have left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::base::{Context, Error, Refuse, Refused, Stop, Timestamp, id};
use foundation::data::{Db, clock, db};
use foundation::out::lease::LEASE;
use foundation::out::store::{accepted, again, ended, mark_left, release, take};
use foundation::out::{Ended, Enqueued, Found, Lease, Leased, Leave, Outcome, Sent, Way, enqueue};
use sqlx::PgConnection;
use testing::{eventually, run};
use uuid::Uuid;

fn delivery(id: Uuid, due_at: Timestamp) -> Enqueued<'static> {
    let (way, target, traceparent) = ("pigeon", "duty", None);
    Enqueued { id, way, subject: id, target, due_at, after: None, drill: false, traceparent }
}

async fn queue(db: &Db, count: usize) -> Vec<Uuid> {
    let now = clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap();
    let ids: Vec<_> = (0..count).map(|_| id::new()).collect();
    put(db, &ids.iter().map(|id| delivery(*id, now)).collect::<Vec<_>>()).await;
    ids
}

async fn put(db: &Db, all: &[Enqueued<'_>]) {
    let mut tx = db.begin().await.unwrap();
    enqueue(&mut tx, all).await.unwrap();
    db.commit(tx).await.unwrap();
}

async fn taken(db: &Db, limit: usize) -> Vec<Leased> {
    take(&mut db.work().acquire().await.unwrap(), "pigeon", &db.instance, LEASE, limit).await.unwrap()
}

async fn state(db: &Db, id: Uuid) -> String {
    sqlx::query_scalar("select state from delivery where id = $1").bind(id).fetch_one(&db.work()).await.unwrap()
}

#[test]
fn what_is_asked_for_twice_is_taken_up_once_and_a_drill_never() {
    run(async {
        let db = super::database().await;
        let id = queue(&db, 1).await[0];
        put(
            &db,
            &[
                delivery(id, Timestamp::UNIX_EPOCH),
                Enqueued { drill: true, ..delivery(id::new(), Timestamp::UNIX_EPOCH) },
            ],
        )
        .await;
        assert_eq!(taken(&db, 10).await.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
        assert!(taken(&db, 10).await.is_empty(), "it is under lease");
    });
}

#[test]
fn what_one_process_has_taken_up_no_other_takes_until_it_is_dead() {
    run(async {
        let (db, url) = super::database_with_url().await;
        queue(&db, 2).await;
        // Before that nobody may say that another process is gone.
        eventually("everybody has connected", || async {
            sqlx::query_scalar("select all_connected()").fetch_one(&db.work()).await.unwrap()
        })
        .await;
        let dying = db::connect(&url, super::schema()).await.unwrap();
        assert_eq!(taken(&dying, 10).await.len(), 2);
        // Nobody is to wait for the lease: here it never ends by itself.
        let prolong = || async {
            let leased = "update delivery set attempt_at = clock_timestamp() + interval '3 s'
                          where state = 'leased' and attempt_at > clock_timestamp()";
            sqlx::query(leased).execute(&db.work()).await.unwrap()
        };
        prolong().await;
        let stop = Stop::new();
        let freeing = tokio::spawn(foundation::out::free_orphans(db.clone(), stop.clone()));
        local::pause(Duration::from_millis(600)).await;
        assert!(taken(&db, 10).await.is_empty(), "its holder lives");
        dying.rpc().close().await;
        dying.work().close().await;
        drop(dying);
        eventually("both are taken up again", || async {
            prolong().await;
            taken(&db, 10).await.len() == 2
        })
        .await;
        stop.request();
        freeing.await.unwrap().unwrap();
    });
}

#[test]
fn nothing_is_taken_up_while_a_restore_is_held_and_then_the_outside_is_asked_first() {
    run(async {
        let db = super::database().await;
        queue(&db, 1).await;
        sqlx::query("update log_head set held_at = now()").execute(&db.work()).await.unwrap();
        assert!(taken(&db, 10).await.is_empty());
        sqlx::query("update log_head set held_at = null, doubtful_before = now()").execute(&db.work()).await.unwrap();
        assert!(taken(&db, 10).await[0].doubtful, "it may have left before the restore");
        queue(&db, 1).await;
        assert!(!taken(&db, 10).await[0].doubtful, "what is due after the release never left before");
    });
}

/// The lease has run out, or it is time for the next attempt.
async fn pass(db: &Db) {
    sqlx::query("update delivery set attempt_at = now()").execute(&db.work()).await.unwrap();
}

#[test]
fn a_stale_attempt_neither_ends_a_delivery_nor_touches_an_accepted_one() {
    run(async {
        let db = super::database().await;
        let id = queue(&db, 1).await[0];
        let stale = taken(&db, 1).await.remove(0);
        pass(&db).await;
        let own = taken(&db, 1).await.remove(0);
        let mut tx = db.begin().await.unwrap();
        assert!(ended(&mut tx, &[(&stale, &Outcome::Superseded)]).await.unwrap().is_empty(), "the lease is another's");
        assert_eq!(accepted(&mut tx, &[(id, "receipt")], false).await.unwrap().len(), 1);
        assert!(accepted(&mut tx, &[(id, "again")], false).await.unwrap().is_empty(), "it was recorded before");
        assert!(ended(&mut tx, &[(&own, &Outcome::Failed)]).await.unwrap().is_empty(), "the outside has it");
        db.commit(tx).await.unwrap();
        assert_eq!(state(&db, id).await, "accepted");
    });
}

#[test]
fn who_took_up_what_a_crash_of_the_server_undid_does_not_end_the_lease_of_who_took_it_up_again() {
    run(async {
        let db = super::database().await;
        let id = queue(&db, 1).await[0];
        let undone = taken(&db, 1).await.remove(0);
        sqlx::query("update delivery set state = 'queued', attempts = 0, taken_by = null, attempt_at = now()")
            .execute(&db.work())
            .await
            .unwrap();
        let own = taken(&db, 1).await.remove(0);
        assert_eq!((undone.attempts, own.attempts), (1, 1));
        let mut tx = db.begin().await.unwrap();
        again(&mut tx, &[(&undone, false)]).await.unwrap();
        assert!(ended(&mut tx, &[(&undone, &Outcome::Superseded)]).await.unwrap().is_empty());
        assert_eq!(ended(&mut tx, &[(&own, &Outcome::Held)]).await.unwrap(), [id]);
        tx.rollback().await.unwrap();
        assert!(!mark_left(&db, &undone).await.unwrap() && mark_left(&db, &own).await.unwrap());
    });
}

#[test]
fn a_held_delivery_leaves_only_after_its_release_and_only_what_the_outside_did_not_take_is_its_own_delay() {
    run(async {
        let db = super::database().await;
        let id = queue(&db, 1).await[0];
        let mut tx = db.begin().await.unwrap();
        assert!(!release(&mut tx, id).await.unwrap(), "it is not held");
        tx.rollback().await.unwrap();
        let first = taken(&db, 1).await.remove(0);
        assert!(!first.offered);
        let mut tx = db.begin().await.unwrap();
        again(&mut tx, &[(&first, false)]).await.unwrap();
        db.commit(tx).await.unwrap();
        pass(&db).await;
        let second = taken(&db, 1).await.remove(0);
        assert!(!second.offered && second.doubtful, "we failed before it was offered");
        let mut tx = db.begin().await.unwrap();
        again(&mut tx, &[(&second, true)]).await.unwrap();
        db.commit(tx).await.unwrap();
        pass(&db).await;
        let third = taken(&db, 1).await.remove(0);
        assert!(third.offered);
        let mut tx = db.begin().await.unwrap();
        assert_eq!(ended(&mut tx, &[(&third, &Outcome::Held)]).await.unwrap(), [id]);
        db.commit(tx).await.unwrap();
        assert!(taken(&db, 1).await.is_empty());
        let mut tx = db.begin().await.unwrap();
        assert!(release(&mut tx, id).await.unwrap());
        db.commit(tx).await.unwrap();
        assert!(taken(&db, 1).await[0].released);
    });
}

#[test]
fn what_comes_after_another_waits_until_that_was_accepted() {
    run(async {
        let db = super::database().await;
        let (first, second) = (queue(&db, 1).await[0], id::new());
        put(&db, &[Enqueued { after: Some(first), ..delivery(second, Timestamp::UNIX_EPOCH) }]).await;
        assert_eq!(taken(&db, 10).await.iter().map(|one| one.id).collect::<Vec<_>>(), [first]);
        assert!(taken(&db, 10).await.is_empty());
        let mut tx = db.begin().await.unwrap();
        accepted(&mut tx, &[(first, "receipt")], false).await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!(taken(&db, 10).await.iter().map(|one| one.id).collect::<Vec<_>>(), [second]);
    });
}

/// A way on which every hand-over is counted, and the first answer of each is lost; receipts never come.
#[derive(Clone, Default)]
struct Pigeon {
    handed_over: Arc<Mutex<HashMap<Uuid, usize>>>,
    ended: Arc<Mutex<Vec<(Uuid, Outcome)>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing is refused")]
struct Nothing;

impl Refuse for Nothing {
    fn refused(&self) -> Refused {
        Refused::Missing
    }
}

impl Way for Pigeon {
    const NAME: &'static str = "pigeon";
    const AT_ONCE: usize = 8;
    const RECEIPTS: bool = true;
    const MARKED: bool = true;

    type Item = ();
    type Ready = ();
    type Refusal = Nothing;

    async fn load(&self, _: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, ())>, Error<Nothing>> {
        Ok(ids.iter().map(|id| (*id, ())).collect())
    }

    async fn prepare(&self, _: &Leased, (): &()) -> Result<Option<()>, Error<Nothing>> {
        Ok(Some(()))
    }

    fn may_leave(&self, _: &Leased, (): &(), (): &(), _: Timestamp) -> Leave {
        Leave::Yes
    }

    async fn find(&self, id: Uuid, ready: Option<&()>) -> Found {
        match self.handed_over.lock().unwrap().contains_key(&id) {
            true if ready.is_some() => Found::Accepted("found".into()),
            true => Found::Unknown,
            false => Found::Absent,
        }
    }

    async fn send(&self, delivery: &Leased, (): &(), (): &(), _: Lease) -> Sent {
        *self.handed_over.lock().unwrap().entry(delivery.id).or_default() += 1;
        Sent::NotTaken
    }

    async fn ended(
        &self,
        _: &mut PgConnection,
        _: &Context,
        ended: &[Ended<'_, Pigeon>],
    ) -> Result<(), Error<Nothing>> {
        let ended = ended.iter().map(|one| (one.delivery.id, one.outcome.clone()));
        self.ended.lock().unwrap().extend(ended);
        Ok(())
    }
}

#[test]
fn what_may_have_left_is_asked_for_and_not_handed_over_again_and_its_way_is_told_once_how_it_ended() {
    run(async {
        let (db, pigeon, stop) = (super::database().await, Pigeon::default(), Stop::new());
        let ids = queue(&db, 20).await;
        let context = super::centre().await;
        let delivering = foundation::out::deliver(pigeon.clone(), db.clone(), context.clone(), stop.clone());
        let receiving = foundation::out::receipts(pigeon.clone(), db.clone(), context, stop.clone());
        let tasks = [tokio::spawn(delivering), tokio::spawn(receiving)];
        eventually("all have ended", || async { pigeon.ended.lock().unwrap().len() == 20 }).await;
        assert!(ids.iter().all(|id| pigeon.handed_over.lock().unwrap()[id] == 1));
        let answers =
            "select count(*) from delivery where state = 'accepted' and answer = 'found' and left_at is not null";
        let found: i64 = sqlx::query_scalar(answers).fetch_one(&db.work()).await.unwrap();
        assert_eq!(found, 20);
        // Three days later no receipt has come.
        sqlx::query("update delivery set accepted_at = accepted_at - interval '73 h', receipt_at = now()")
            .execute(&db.work())
            .await
            .unwrap();
        let unknown = || pigeon.ended.lock().unwrap().iter().filter(|(_, end)| *end == Outcome::Unknown).count();
        eventually("nothing is known of any", || async { unknown() == 20 }).await;
        assert_eq!(state(&db, ids[0]).await, "unknown");
        stop.request();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}

/// A way that is prepared slowly; the first time, the database drops a connection meanwhile.
#[derive(Clone)]
struct Snail {
    db: Db,
    /// In which attempts it left.
    left: Arc<Mutex<Vec<i32>>>,
}

impl Way for Snail {
    const NAME: &'static str = "pigeon";
    const AT_ONCE: usize = 8;

    type Item = ();
    type Ready = ();
    type Refusal = Nothing;

    async fn load(&self, _: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, ())>, Error<Nothing>> {
        Ok(ids.iter().map(|id| (*id, ())).collect())
    }

    async fn prepare(&self, delivery: &Leased, (): &()) -> Result<Option<()>, Error<Nothing>> {
        if delivery.attempts == 1 {
            super::drop_flusher(&mut *self.db.work().acquire().await?, &self.db.instance).await;
            local::pause(Duration::from_millis(600) + self.db.flushing()).await;
        }
        Ok(Some(()))
    }

    fn may_leave(&self, _: &Leased, (): &(), (): &(), _: Timestamp) -> Leave {
        Leave::Yes
    }

    async fn find(&self, _: Uuid, _: Option<&()>) -> Found {
        Found::Absent
    }

    async fn send(&self, delivery: &Leased, (): &(), (): &(), _: Lease) -> Sent {
        self.left.lock().unwrap().push(delivery.attempts);
        Sent::Accepted(String::new())
    }

    async fn ended(&self, _: &mut PgConnection, _: &Context, _: &[Ended<'_, Snail>]) -> Result<(), Error<Nothing>> {
        Ok(())
    }
}

#[test]
fn what_was_prepared_for_long_leaves_only_if_the_server_still_has_that_it_was_taken_up() {
    run(async {
        let (db, _) = super::flush::served().await;
        let (snail, stop) = (Snail { db: db.clone(), left: Arc::default() }, Stop::new());
        let id = queue(&db, 1).await[0];
        let context = super::centre().await;
        let delivering = tokio::spawn(foundation::out::deliver(snail.clone(), db.clone(), context, stop.clone()));
        eventually("it has left", || async { state(&db, id).await == "accepted" }).await;
        assert_eq!(*snail.left.lock().unwrap(), [2]);
        stop.request();
        delivering.await.unwrap().unwrap();
    });
}
