//! Timed work: sending what waits, opening call tasks, collecting receipts. Each is woken by what this process hears and looks by
//! itself for what other replicas left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::db::{Chain, Session};
use foundation::host::{Stop, breathe, pause};
use tokio::sync::{Semaphore, mpsc};

use crate::error::Error;
use crate::operations::Operations;
use crate::operations::sending::{self, Attempted};
use crate::store;

const POLL: Duration = Duration::from_secs(1);
/// Between two looks at least: what comes meanwhile is taken up together.
const REST: Duration = Duration::from_millis(2);
/// Messages under way to the gateway at once.
const AT_ONCE: usize = 32;

/// Sends reminders until told to stop; then waits for those under way and records them.
pub async fn sender(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let (ended, attempts) = mpsc::channel(AT_ONCE);
    let mut recording = tokio::spawn(record(operations.clone(), attempts));
    let under_way = Arc::new(Semaphore::new(AT_ONCE));
    let (mut heard, mut session) = (operations.db.heard(), operations.db.session());
    while !stop.requested() {
        heard.mark_unchanged();
        let began = Instant::now();
        let wait = match take(&operations, &mut session, &under_way, &ended).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => POLL / 4,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "reminders cannot be taken up now");
                POLL
            }
        };
        breathe(began, REST).await;
        let room = async { under_way.acquire().await.is_ok() };
        tokio::select! {
            () = stop.wait() => {}
            // Nobody would record any more what is sent: half a sender is worse than none.
            died = &mut recording => anyhow::bail!("recording what was sent has ended: {died:?}"),
            // There is more to do than may be under way at once: the first that ends makes room.
            _ = room, if under_way.available_permits() == 0 => {}
            _ = heard.changed(), if under_way.available_permits() > 0 => {}
            () = pause(wait), if under_way.available_permits() > 0 => {}
        }
    }
    drop(ended);
    Ok(recording.await?)
}

/// Takes up as many messages as may be under way, and begins to send them; says whether there may be more.
async fn take(
    operations: &Operations,
    session: &mut Session,
    under_way: &Arc<Semaphore>,
    ended: &mpsc::Sender<Attempted>,
) -> Result<bool, Error> {
    let free = i64::try_from(under_way.available_permits()).unwrap_or_default();
    let take = async {
        let mut connection = session.take().await?;
        let taken = store::take(&mut connection, &operations.db.instance, free).await?;
        session.keep(connection);
        Ok::<_, Error>(taken)
    };
    let taken = operations.db.in_time(take).await?;
    let more = i64::try_from(taken.len()) == Ok(free);
    for message in taken {
        let (operations, ended) = (operations.clone(), ended.clone());
        let permit = under_way.clone().acquire_owned().await;
        tokio::spawn(async move {
            let attempted = operations.send(message).await;
            // Fails only when nobody records any more: the lease ends by itself then.
            let _ = ended.send(attempted).await;
            // Last: what is sent must not pile up before it is recorded.
            drop(permit);
        });
    }
    Ok(more)
}

/// Records attempts until all of them have ended, as many at once as have ended meanwhile.
async fn record(operations: Operations, mut attempts: mpsc::Receiver<Attempted>) {
    let (mut batch, mut session) = (Vec::with_capacity(AT_ONCE), operations.db.session());
    while attempts.recv_many(&mut batch, AT_ONCE).await > 0 {
        let began = Instant::now();
        sending::record(&mut session, &batch).await;
        let more = batch.len() == AT_ONCE;
        batch.clear();
        if !more {
            breathe(began, 10 * REST).await;
        }
    }
}

/// Opens call tasks until told to stop.
pub async fn tasks(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let (mut heard, mut session) = (operations.db.heard(), operations.db.session());
    while !stop.requested() {
        heard.mark_unchanged();
        let began = Instant::now();
        let more = operations.open_tasks(&mut session).await.unwrap_or_else(|error| {
            tracing::warn!(error = %Chain(&error), "call tasks cannot be opened now");
            false
        });
        breathe(began, 5 * REST).await;
        tokio::select! {
            () = stop.wait() => {}
            _ = heard.changed() => {}
            () = pause(if more { Duration::ZERO } else { POLL / 4 }) => {}
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

/// Collects receipts until told to stop.
pub async fn receipts(operations: Operations, stop: Stop) -> anyhow::Result<()> {
    let mut session = operations.db.session();
    while !stop.requested() {
        let asked = operations.collect_receipts(&mut session).await.unwrap_or_else(|error| {
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
