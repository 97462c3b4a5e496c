//! Faults of our own processes.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use local::process::signal;
use local::stack::{Replica, kill};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::{Field, Struck, family};
use crate::faults::history::Window;

/// F1: one process after the other, in drawn order, each at most once in twelve seconds.
pub fn kill_any<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        let mut order = Vec::new();
        field.wait(3.0).await;
        while began.elapsed() + Duration::from_secs(8) < field.span {
            if order.is_empty() {
                order.clone_from(&field.rig.stack.replicas);
                order.shuffle(field.rng);
            }
            let Some(replica) = order.pop() else { break };
            let from = local::now();
            hit += field.driver.in_flight() as u64;
            kill(&replica).await;
            field.window(from);
            let pause = 1.0 + f64::from(field.rng.random_range(0..500)) / 1000.0;
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

/// F11: a process of each acting service, then NATS, then Postgres, sleeps for longer than any lease or limit.
pub fn paused<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let mut fell_due = 0;
        let mut pids: Vec<u32> = ["dispatch", "notifications", "oversight"]
            .iter()
            .filter_map(|service| field.rig.of(service).first().map(pid))
            .collect();
        pids.extend(field.rig.stack.servers.nats.as_ref().map(|server| server.process.pid));
        pids.extend(field.rig.stack.servers.postgres.as_ref().map(|server| server.process.pid));
        field.wait(3.0).await;
        let (began, postgres) = (tokio::time::Instant::now(), pids.len() - 1);
        for (index, pid) in pids.into_iter().enumerate() {
            anyhow::ensure!(
                began.elapsed() + Duration::from_secs(17) < field.span,
                "the load is too short for all of them"
            );
            let from = local::now();
            let all = if index == postgres { family(pid) } else { vec![pid] };
            for pid in &all {
                signal("STOP", *pid).await;
            }
            let seconds = f64::from(field.rng.random_range(13_000..15_000)) / 1000.0;
            field.wait(seconds).await;
            for pid in &all {
                signal("CONT", *pid).await;
            }
            field.window(from);
            // Until it has healed: the next pause excuses nothing of this one's.
            field.wait(5.5).await;
            let due = field.fell_due(from).await?;
            fell_due += due;
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

/// F13: the clients themselves are the fault.
pub fn storm<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        local::pause(field.span).await;
        Ok(Struck { count: field.driver.dropped(), what: "calls dropped" })
    })
}

fn pid(replica: &Replica) -> u32 {
    *replica.pid.lock().unwrap_or_else(PoisonError::into_inner)
}
