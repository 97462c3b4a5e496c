//! Timed work: sending what waits, opening call tasks, collecting receipts. Each is woken by this process's commits and
//! looks by itself for what other replicas left.

use std::time::Duration;

use foundation::db::Chain;
use foundation::host::{Stop, pause};
use tokio::task::JoinSet;

use crate::operations::Operations;
use crate::store;

const POLL: Duration = Duration::from_secs(1);
/// Messages under way to the gateway at once.
const AT_ONCE: usize = 32;

/// Sends reminders until told to stop; then waits for those under way.
pub async fn sender(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let mut commits = operations.db.commits();
    let mut under_way = JoinSet::new();
    while !stop.requested() {
        commits.mark_unchanged();
        let free = i64::try_from(AT_ONCE - under_way.len())?;
        let wait = match operations.db.in_time(store::take(&operations.db, free)).await {
            Ok(taken) if taken.is_empty() => until_next(&operations).await,
            Ok(taken) => {
                for message in taken {
                    let operations = operations.clone();
                    under_way.spawn(async move { operations.send(message).await });
                }
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "reminders cannot be taken up now");
                POLL
            }
        };
        let full = under_way.len() >= AT_ONCE;
        tokio::select! {
            () = stop.wait() => {}
            Some(ended) = under_way.join_next(), if full => ended?,
            _ = commits.changed(), if !full => {}
            () = pause(wait), if !full => {}
        }
        while let Some(ended) = under_way.try_join_next() {
            ended?;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended?;
    }
    Ok(())
}

async fn until_next(operations: &Operations) -> Duration {
    match operations.db.in_time(store::until_next(&operations.db)).await {
        Ok(Some(until)) => until.to_std().map_or(Duration::from_millis(10), |until| until.min(POLL / 4)),
        Ok(None) | Err(_) => POLL,
    }
}

/// Opens call tasks until told to stop.
pub async fn tasks(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let mut commits = operations.db.commits();
    while !stop.requested() {
        commits.mark_unchanged();
        let taken = operations.open_tasks().await.unwrap_or_else(|error| {
            tracing::warn!(error = %Chain(&error), "call tasks cannot be opened now");
            0
        });
        tokio::select! {
            () = stop.wait() => {}
            _ = commits.changed() => {}
            () = pause(if taken > 0 { Duration::from_millis(100) } else { POLL }) => {}
        }
    }
    Ok(())
}

/// Frees what dead processes took up, until told to stop.
pub async fn orphans(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        if let Err(error) = operations.db.in_time(store::free_orphans(&operations.db)).await {
            tracing::warn!(error = %Chain(&error), "leases of dead processes run their time");
        }
        tokio::select! {
            () = stop.wait() => {}
            () = pause(POLL / 4) => {}
        }
    }
    Ok(())
}

/// Collects receipts until told to stop.
pub async fn receipts(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        let asked = operations.collect_receipts().await.unwrap_or_else(|error| {
            tracing::warn!(error = %Chain(&error), "receipts cannot be collected now");
            0
        });
        tokio::select! {
            () = stop.wait() => {}
            () = pause(if asked > 0 { Duration::from_millis(100) } else { POLL }) => {}
        }
    }
    Ok(())
}
