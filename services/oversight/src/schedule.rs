//! Timed work: pushing cases and corrections until their receipts come back.

use std::time::Duration;

use foundation::db::Chain;
use foundation::host::{Stop, pause};
use tokio::task::JoinSet;

use crate::operations::Operations;
use crate::store;

const POLL: Duration = Duration::from_secs(1);

/// Pushes until told to stop.
pub async fn pusher(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let mut commits = operations.db.commits();
    while !stop.requested() {
        commits.mark_unchanged();
        let wait = match pass(&operations).await {
            Ok(0) => until_next(&operations).await,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cases cannot be taken up now");
                POLL
            }
        };
        tokio::select! {
            () = stop.wait() => {}
            _ = commits.changed() => {}
            () = pause(wait) => {}
        }
    }
    Ok(())
}

/// Pushes what may be taken up, side by side; returns how many.
async fn pass(operations: &Operations) -> sqlx::Result<usize> {
    let cases = operations.db.in_time(store::take(&operations.db)).await?;
    let corrections = operations.db.in_time(store::take_corrections(&operations.db)).await?;
    let taken = cases.len() + corrections.len();
    let mut under_way = JoinSet::new();
    for case in cases {
        let operations = operations.clone();
        under_way.spawn(async move { operations.push(case).await });
    }
    for correction in corrections {
        let operations = operations.clone();
        under_way.spawn(async move { operations.push_correction(correction).await });
    }
    under_way.join_all().await;
    Ok(taken)
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

async fn until_next(operations: &Operations) -> Duration {
    match operations.db.in_time(store::until_next(&operations.db)).await {
        Ok(Some(until)) => until.to_std().map_or(Duration::from_millis(50), |until| until.min(POLL / 4)),
        Ok(None) | Err(_) => POLL,
    }
}
