//! Faults of our own processes.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use local::process::signal;
use local::stack::{Replica, kill};
use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::{Field, Struck, family};
use crate::faults::history::Window;

/// F1: one process after the other, in drawn order, again and again, each once in twelve seconds or so.
pub fn kill_any<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        let mut order = field.rig.stack.replicas.clone();
        order.shuffle(field.rng);
        field.wait(3.0).await;
        #[expect(clippy::cast_precision_loss, reason = "a handful of processes")]
        let share = 10.0 / order.len() as f64;
        for replica in order.iter().cycle() {
            if began.elapsed() + Duration::from_secs(8) > field.span {
                break;
            }
            let (from, under_way) = (local::now(), field.driver.in_flight() as u64);
            if kill(replica).await {
                hit += under_way;
                field.window(from);
            }
            let pause = share + f64::from(field.rng.random_range(0..500)) / 1000.0;
            field.wait(pause).await;
        }
        Ok(Struck { count: hit, what: "calls under way" })
    })
}

/// F1 at named points: after the commit and before the publishing, after the publishing and before the cursor, after the sending
/// and before the record, after the inbox and before the acknowledgement.
pub fn fail_points<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        local::pause(field.span).await;
        let died: Vec<_> = field.rig.stack.replicas.iter().flat_map(|replica| replica.deaths()).collect();
        // It is started again at once, and ready within a second.
        let window = |at: &DateTime<Utc>| Window { from: *at, ended: *at + TimeDelta::seconds(1), heals: field.heals };
        let windows: Vec<_> = died.iter().map(window).collect();
        field.rig.windows.extend(windows);
        field.rig.windows.sort_by_key(|window| window.from);
        let points = died_at(&field.rig.stack.replicas);
        let hit: BTreeSet<_> = points.iter().collect();
        anyhow::ensure!(hit.len() == 4, "not every point was reached: {hit:?}");
        Ok(Struck { count: points.len() as u64, what: "deaths" })
    })
}

/// The points at which processes died, as their logs say.
pub fn died_at(replicas: &[Replica]) -> Vec<String> {
    let logs = replicas.iter().filter_map(|replica| std::fs::read_to_string(&replica.log).ok());
    let point = |line: &str| line.split_once("dies at its fail point: ").map(|(_, point)| point.to_owned());
    logs.flat_map(|log| log.lines().filter_map(point).collect::<Vec<_>>()).collect()
}

/// F2: everything at once, again and again.
pub fn kill_all<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        field.wait(4.0).await;
        while began.elapsed() + Duration::from_secs(10) < field.span {
            let from = local::now();
            hit += field.driver.in_flight() as u64;
            let replicas = field.rig.stack.replicas.clone();
            futures::future::join_all(replicas.iter().map(kill)).await;
            field.window(from);
            field.wait(12.0).await;
        }
        Ok(Struck { count: hit, what: "calls under way" })
    })
}

/// F11: a process of each acting service, then NATS, then Postgres, sleeps for longer than any lease or limit; one service for over a
/// minute. Its other replica does the work meanwhile: the sleep of a service excuses nothing once what it had under lease is free.
pub fn paused<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let mut fell_due = 0;
        let services = ["dispatch", "notifications", "oversight"];
        let mut pids: Vec<u32> =
            services.iter().filter_map(|service| field.rig.of(service).choose(field.rng).map(Replica::pid)).collect();
        pids.extend(field.rig.stack.servers.nats.as_ref().map(|server| server.process.pid));
        pids.extend(field.rig.stack.servers.postgres.as_ref().map(|server| server.process.pid));
        field.wait(3.0).await;
        let (began, postgres) = (tokio::time::Instant::now(), pids.len() - 1);
        let long = field.rng.random_range(0..services.len());
        for (index, pid) in pids.into_iter().enumerate() {
            let sleeps = if index == long { 60_000..75_000 } else { 13_000..15_000 };
            let seconds = f64::from(field.rng.random_range(sleeps)) / 1000.0;
            let enough = began.elapsed() + Duration::from_secs_f64(seconds + 2.0) < field.span;
            anyhow::ensure!(enough, "the load is too short for all of them");
            let from = local::now();
            let all = if index == postgres { family(pid) } else { vec![pid] };
            for pid in &all {
                signal("STOP", *pid).await;
            }
            if index < services.len() {
                field.window(from);
            }
            field.wait(seconds).await;
            let until = local::now();
            for pid in &all {
                signal("CONT", *pid).await;
            }
            if index >= services.len() {
                field.window(from);
            }
            // Until it has healed: the next pause excuses nothing of this one's.
            field.wait(5.5).await;
            fell_due += field.fell_due(from, until).await?;
        }
        Ok(Struck { count: fell_due, what: "rungs due in the pauses" })
    })
}

/// F0: what the load alone shows.
pub fn nothing<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        local::pause(field.span).await;
        Ok(Struck { count: field.driver.acknowledged() as u64, what: "whistles blown" })
    })
}

/// F13: the clients themselves are the fault. No mutating call can be cancelled half-way, for it runs in a task of its own: what a
/// client drops is done without it, or never begun.
pub fn storm<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        local::pause(field.span).await;
        anyhow::ensure!(field.driver.dropped() > 0, "no client has dropped a call");
        let unanswered = field.driver.history().calls.iter().filter(|call| call.done_unanswered()).count();
        Ok(Struck { count: unanswered as u64, what: "calls done whose clients had gone" })
    })
}
