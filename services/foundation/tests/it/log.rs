//! The log: positions, and reading it.

use foundation::data::Db;
use foundation::host::housekeeping;
use foundation::log::outbox::assign_positions;
use foundation::log::{Announcement, Audiences, publish};
use proto::events::v1::{WhistleRef, WhistleWithdrawn};
use serde_json::json;
use testing::run;

async fn event(whistle: &str, version: i64) -> Announcement {
    let whistle = Some(WhistleRef { whistle_id: whistle.into(), ..WhistleRef::default() });
    let event = WhistleWithdrawn { whistle, version, ..WhistleWithdrawn::default() };
    Announcement::of(event, &Audiences::default().area("150302004"), &super::centre().await)
}

async fn number(db: &Db) -> sqlx::Result<()> {
    assign_positions(&mut *db.work().acquire().await?).await
}

async fn numbered(db: &Db) -> Vec<(i64, i64)> {
    sqlx::query_as("select position, id from outbox where position is not null order by position")
        .fetch_all(&db.work())
        .await
        .unwrap()
}

/// A log with three events, numbered.
async fn with_three() -> Db {
    let db = super::database().await;
    let mut tx = db.begin().await.unwrap();
    let mut events = Vec::new();
    for version in 1..=3 {
        events.push(event("a", version).await);
    }
    publish(&mut tx, events).await.unwrap();
    db.commit(tx).await.unwrap();
    number(&db).await.unwrap();
    db
}

#[test]
fn events_are_numbered_in_the_order_in_which_they_were_published_without_gaps() {
    run(async {
        let db = with_three().await;
        let numbered = numbered(&db).await;
        assert_eq!(numbered.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(numbered.windows(2).all(|pair| pair[0].1 < pair[1].1), "{numbered:?}");
    });
}

#[test]
fn a_late_committer_is_numbered_after_those_who_overtook_it_and_not_skipped() {
    run(async {
        let db = super::database().await;
        let mut slow = db.begin().await.unwrap();
        publish(&mut slow, vec![event("slow", 1).await]).await.unwrap();
        let mut fast = db.begin().await.unwrap();
        publish(&mut fast, vec![event("fast", 1).await]).await.unwrap();
        db.commit(fast).await.unwrap();
        number(&db).await.unwrap();
        assert_eq!(numbered(&db).await.len(), 1, "what is not committed has no position");
        db.commit(slow).await.unwrap();
        number(&db).await.unwrap();
        let numbered = numbered(&db).await;
        assert_eq!(numbered.len(), 2);
        assert!(numbered[0].1 > numbered[1].1, "the slow one has the smaller id and the later position");
    });
}

#[test]
fn many_who_number_at_once_leave_no_gap_and_no_double() {
    run(async {
        let db = super::database().await;
        let writers = (0..8).map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                for version in 0..50 {
                    let mut tx = db.begin().await.unwrap();
                    publish(&mut tx, vec![event(&writer.to_string(), version).await]).await.unwrap();
                    db.commit(tx).await.unwrap();
                    number(&db).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        number(&db).await.unwrap();
        let positions: Vec<_> = numbered(&db).await.into_iter().map(|(position, _)| position).collect();
        assert_eq!(positions, (1..=400).collect::<Vec<i64>>());
    });
}

/// One pass of a relay that has published these positions: what it is given to publish.
async fn pass(db: &Db, published: &[i64]) -> Vec<i64> {
    let next = sqlx::query_scalar("select position from to_publish($1, 500) where position is not null");
    next.bind(published).fetch_all(&db.work()).await.unwrap()
}

/// What a relay cannot see any more: how far everything has left, and what has left past that.
async fn reached(db: &Db) -> (i64, String) {
    sqlx::query_as("select cursor, ahead::text from relay").fetch_one(&db.work()).await.unwrap()
}

async fn commit(db: &Db, aggregate: &str) {
    let mut tx = db.begin().await.unwrap();
    publish(&mut tx, vec![event(aggregate, 1).await]).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn who_numbers_events_publishes_them_and_nobody_else_until_he_seems_dead() {
    run(async {
        let db = super::database().await;
        commit(&db, "a").await;
        assert_eq!(pass(&db, &[]).await, [1]);
        assert_eq!(pass(&db, &[]).await, [0; 0], "it is somebody's");
        sqlx::query("update outbox set occurred_at = occurred_at - interval '1 s'").execute(&db.work()).await.unwrap();
        assert_eq!(pass(&db, &[]).await, [1], "nobody has published it for a while");
        assert_eq!(pass(&db, &[1]).await, [0; 0]);
        assert_eq!(reached(&db).await, (1, "{}".into()));
    });
}

#[test]
fn the_cursor_waits_for_what_another_relay_is_still_publishing() {
    run(async {
        let db = super::database().await;
        commit(&db, "a").await;
        assert_eq!(pass(&db, &[]).await, [1]);
        commit(&db, "b").await;
        assert_eq!(pass(&db, &[]).await, [2]);
        sqlx::query("update outbox set occurred_at = occurred_at - interval '1 s'").execute(&db.work()).await.unwrap();
        assert_eq!(pass(&db, &[2]).await, [1], "what was published is not published again");
        assert_eq!(reached(&db).await, (0, "{[2,3)}".into()));
        pass(&db, &[1]).await;
        assert_eq!(reached(&db).await, (2, "{}".into()));
    });
}

#[test]
fn two_relays_that_have_published_at_once_move_the_cursor_past_both() {
    run(async {
        let db = super::database().await;
        commit(&db, "a").await;
        commit(&db, "b").await;
        pass(&db, &[]).await;
        let mut first = db.begin().await.unwrap();
        sqlx::query("select from to_publish('{1}', 500)").execute(&mut *first).await.unwrap();
        let second = tokio::spawn({
            let db = db.clone();
            async move { pass(&db, &[2]).await }
        });
        local::pause(std::time::Duration::from_millis(200)).await;
        assert!(!second.is_finished(), "it waits for the first");
        db.commit(first).await.unwrap();
        second.await.unwrap();
        assert_eq!(reached(&db).await, (2, "{}".into()));
    });
}

#[test]
fn the_cursor_passes_what_was_deleted_unpublished() {
    run(async {
        let db = super::database().await;
        commit(&db, "a").await;
        commit(&db, "b").await;
        pass(&db, &[]).await;
        let old = "update outbox set occurred_at = occurred_at - interval '31 days' where position = 1";
        sqlx::query(old).execute(&db.work()).await.unwrap();
        housekeeping::clean(&db).await.unwrap();
        pass(&db, &[2]).await;
        assert_eq!(reached(&db).await, (2, "{}".into()));
    });
}

#[test]
fn a_cancelled_borrower_leaves_no_open_transaction_in_the_pool() {
    run(async {
        let db = super::database().await;
        for microseconds in 0..200 {
            let begin = async {
                let mut tx = db.begin_call().await.unwrap();
                sqlx::query("insert into happened (what) values ('cancelled')").execute(&mut *tx).await.unwrap();
                std::future::pending::<()>().await;
            };
            let limit = std::time::Duration::from_micros(microseconds * 20);
            assert!(tokio::time::timeout(limit, begin).await.is_err());
            let mut connection = db.rpc().acquire().await.unwrap();
            let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *connection).await.unwrap();
            let state: String = sqlx::query_scalar("select state from pg_stat_activity where pid = $1")
                .bind(pid)
                .fetch_one(&db.work())
                .await
                .unwrap();
            assert_eq!(state, "idle", "the next borrower stands inside somebody else's transaction");
        }
        assert!(super::happened(&db).await.is_empty());
    });
}

#[test]
fn an_event_is_deleted_when_it_is_old_and_every_consumer_has_confirmed_it_or_was_struck_off() {
    run(async {
        let db = with_three().await;
        let run = async |statement: &'static str| {
            sqlx::raw_sql(statement).execute(&db.work()).await.unwrap();
            housekeeping::clean(&db).await.unwrap();
            numbered(&db).await.into_iter().map(|(position, _)| position).collect::<Vec<_>>()
        };
        run("delete from consumer; insert into consumer (name, confirmed) values ('quick', 3), ('slow', 0)").await;
        let old = "update outbox set occurred_at = now() - interval '31 days' where position < 3";
        assert_eq!(run(old).await, [1, 2, 3], "the slow one has not had them");
        assert_eq!(housekeeping::stale(&db).await.unwrap(), ["slow"], "and ops is told so");
        assert_eq!(run("update consumer set confirmed = 1 where name = 'slow'").await, [2, 3]);
        assert_eq!(run("update consumer set struck_off = true where name = 'slow'").await, [3], "the third is young");
        assert!(housekeeping::stale(&db).await.unwrap().is_empty(), "nobody waits for it any more");
    });
}

#[test]
fn a_change_is_one_event_and_one_row_of_history_with_the_same_version_and_actor() {
    run(async {
        let db = super::database().await;
        let mut tx = db.begin().await.unwrap();
        let changed = event("a", 7).await.with_history("withdrawn", json!({ "state": "withdrawn" }));
        publish(&mut tx, vec![changed, event("a", 7).await]).await.unwrap();
        db.commit(tx).await.unwrap();
        let past: Vec<(String, i64, String, String, String)> = sqlx::query_as(
            "select subject_id, history.version, actor, role, kind from history join outbox using (event_id)",
        )
        .fetch_all(&db.work())
        .await
        .unwrap();
        assert_eq!(past, [("a".into(), 7, "test-centre".into(), "centre".into(), "withdrawn".into())]);
    });
}
