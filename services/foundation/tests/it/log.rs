//! The log: placing, and reading it.

use foundation::db::Db;
use foundation::outbox::{self, Announcement, announce};
use proto::events::v1::WhistleWithdrawn;

fn fact(whistle: &str, version: i64) -> Announcement {
    Announcement::of(&WhistleWithdrawn { whistle_id: whistle.into(), version, ..WhistleWithdrawn::default() })
}

async fn place(db: &Db) -> sqlx::Result<()> {
    outbox::place(&mut *db.work().acquire().await?).await
}

async fn placed(db: &Db) -> Vec<(i64, i64)> {
    sqlx::query_as("select position, id from outbox where position is not null order by position")
        .fetch_all(&db.work())
        .await
        .unwrap()
}

/// A log with three facts, placed.
async fn with_three() -> Db {
    let db = super::database().await;
    let mut tx = db.begin().await.unwrap();
    announce(&mut tx, (1..=3).map(|version| fact("a", version)).collect()).await.unwrap();
    db.commit(tx).await.unwrap();
    place(&db).await.unwrap();
    db
}

#[test]
fn facts_are_placed_in_the_order_in_which_they_were_stated_without_gaps() {
    local::testing::run(async {
        let db = with_three().await;
        let placed = placed(&db).await;
        assert_eq!(placed.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(placed.windows(2).all(|pair| pair[0].1 < pair[1].1), "{placed:?}");
    });
}

#[test]
fn a_late_committer_is_placed_after_those_who_overtook_it_and_not_skipped() {
    local::testing::run(async {
        let db = super::database().await;
        let mut slow = db.begin().await.unwrap();
        announce(&mut slow, vec![fact("slow", 1)]).await.unwrap();
        let mut fast = db.begin().await.unwrap();
        announce(&mut fast, vec![fact("fast", 1)]).await.unwrap();
        db.commit(fast).await.unwrap();
        place(&db).await.unwrap();
        assert_eq!(placed(&db).await.len(), 1, "what is not committed has no position");
        db.commit(slow).await.unwrap();
        place(&db).await.unwrap();
        let placed = placed(&db).await;
        assert_eq!(placed.len(), 2);
        assert!(placed[0].1 > placed[1].1, "the slow one has the smaller id and the later position");
    });
}

#[test]
fn many_placers_at_once_leave_no_gap_and_no_double() {
    local::testing::run(async {
        let db = super::database().await;
        let writers = (0..8).map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                for version in 0..50 {
                    let mut tx = db.begin().await.unwrap();
                    announce(&mut tx, vec![fact(&writer.to_string(), version)]).await.unwrap();
                    db.commit(tx).await.unwrap();
                    place(&db).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        place(&db).await.unwrap();
        let positions: Vec<_> = placed(&db).await.into_iter().map(|(position, _)| position).collect();
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

async fn state(db: &Db, aggregate: &str) {
    let mut tx = db.begin().await.unwrap();
    announce(&mut tx, vec![fact(aggregate, 1)]).await.unwrap();
    db.commit(tx).await.unwrap();
}

#[test]
fn who_numbers_facts_publishes_them_and_nobody_else_until_he_seems_dead() {
    local::testing::run(async {
        let db = super::database().await;
        state(&db, "a").await;
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
    local::testing::run(async {
        let db = super::database().await;
        state(&db, "a").await;
        assert_eq!(pass(&db, &[]).await, [1]);
        state(&db, "b").await;
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
    local::testing::run(async {
        let db = super::database().await;
        state(&db, "a").await;
        state(&db, "b").await;
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
    local::testing::run(async {
        let db = super::database().await;
        state(&db, "a").await;
        state(&db, "b").await;
        pass(&db, &[]).await;
        let old = "update outbox set occurred_at = occurred_at - interval '31 days' where position = 1";
        sqlx::query(old).execute(&db.work()).await.unwrap();
        foundation::housekeeping::clean(&db).await.unwrap();
        pass(&db, &[2]).await;
        assert_eq!(reached(&db).await, (2, "{}".into()));
    });
}

#[test]
fn a_cancelled_borrower_leaves_no_open_transaction_in_the_pool() {
    local::testing::run(async {
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
fn a_fact_is_deleted_when_it_is_old_and_every_consumer_has_confirmed_it_or_was_struck_off() {
    local::testing::run(async {
        let db = with_three().await;
        let run = async |statement: &'static str| {
            sqlx::raw_sql(statement).execute(&db.work()).await.unwrap();
            foundation::housekeeping::clean(&db).await.unwrap();
            placed(&db).await.into_iter().map(|(position, _)| position).collect::<Vec<_>>()
        };
        run("delete from consumer; insert into consumer (name, confirmed) values ('quick', 3), ('slow', 0)").await;
        let old = "update outbox set occurred_at = now() - interval '31 days' where position < 3";
        assert_eq!(run(old).await, [1, 2, 3], "the slow one has not had them");
        assert_eq!(foundation::housekeeping::stale(&db).await.unwrap(), ["slow"], "and ops is told so");
        assert_eq!(run("update consumer set confirmed = 1 where name = 'slow'").await, [2, 3]);
        assert_eq!(run("update consumer set struck_off = true where name = 'slow'").await, [3], "the third is young");
        assert!(foundation::housekeeping::stale(&db).await.unwrap().is_empty(), "nobody waits for it any more");
    });
}
