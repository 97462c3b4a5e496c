//! Timed work: pushing cases and corrections until their receipts come back.

use std::sync::Arc;
use std::time::Duration;

use foundation::db::Chain;
use foundation::host::{Stop, pause};
use tokio::sync::{Semaphore, watch};

use crate::operations::Operations;
use crate::store;

const POLL: Duration = Duration::from_secs(1);
/// Most of what is heard opens no case: a moment's facts are one reason to look.
const MOMENT: Duration = Duration::from_millis(10);
/// Cases under way to 阳光+ at once.
const AT_ONCE: usize = 16;

/// Pushes until told to stop; then waits for what is under way.
pub async fn pusher(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let under_way = Arc::new(Semaphore::new(AT_ONCE));
    let mut heard = operations.db.heard();
    while !stop.requested() {
        heard.mark_unchanged();
        let wait = match pass(&operations, &under_way).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => POLL / 4,
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "cases cannot be taken up now");
                POLL
            }
        };
        let room = async { under_way.acquire().await.is_ok() };
        tokio::select! {
            () = stop.wait() => {}
            // There is more to do than may be under way at once: the first that ends makes room.
            _ = room, if under_way.available_permits() == 0 => {}
            () = changed(&mut heard), if under_way.available_permits() > 0 => {}
            () = pause(wait), if under_way.available_permits() > 0 => {}
        }
    }
    let _ended = under_way.acquire_many(u32::try_from(AT_ONCE)?).await?;
    Ok(())
}

async fn changed(heard: &mut watch::Receiver<u64>) {
    // Fails only when the database handle is gone, which the loop itself holds.
    let _ = heard.changed().await;
    pause(MOMENT).await;
}

/// Takes up as many cases as may be under way, and begins to push them; says whether there may be more.
async fn pass(operations: &Operations, under_way: &Arc<Semaphore>) -> anyhow::Result<bool> {
    let free = i64::try_from(under_way.available_permits())?;
    let cases = operations.db.in_time(store::take(&operations.db, free)).await?;
    let more = i64::try_from(cases.len()) == Ok(free);
    for case in cases {
        let (operations, permit) = (operations.clone(), under_way.clone().acquire_owned().await?);
        tokio::spawn(async move {
            operations.push(case).await;
            drop(permit);
        });
    }
    Ok(more)
}

/// Sends corrections until told to stop, one after the other: they are few, and nobody waits for them.
pub async fn corrections(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        match operations.db.in_time(store::take_corrections(&operations.db, 1)).await {
            Ok(taken) if taken.is_empty() => {}
            Ok(taken) => {
                for correction in taken {
                    operations.push_correction(correction).await;
                }
                continue;
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "corrections cannot be taken up now"),
        }
        tokio::select! {
            () = stop.wait() => {}
            () = pause(POLL / 4) => {}
        }
    }
    Ok(())
}

/// Frees what dead processes took up, until told to stop.
pub async fn orphans(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        match operations.db.in_time(store::free_orphans(&operations.db)).await {
            Ok(true) => operations.db.inherited(),
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "leases of dead processes run their time"),
        }
        tokio::select! {
            () = stop.wait() => {}
            () = pause(POLL / 4) => {}
        }
    }
    Ok(())
}
