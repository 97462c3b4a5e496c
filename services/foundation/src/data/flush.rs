//! One flush of the server's log for everybody who waits for one.
//!
//! The transaction of a call commits without waiting for the disk: it has its connection and its locks for milliseconds, however slow
//! the disk is. Its answer waits: for a commit that came after it and did reach the disk (and the synchronous standby, where there is
//! one), for the log is written in order. That commit is made here, one after the other, each for all who have asked meanwhile. Whoever
//! reads may see what a crash of the server then undoes; no change is answered on it, and no event of it is numbered.
//!
//! A flush proves something only of the server that it went to, and only if that did not crash since: so the connection must have been
//! there before the commit that is asked about, and the server must be the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};

use super::restore::{self, Witness};
use crate::base::{Timestamp, stop};

/// As many share a flush at most: all that may wait, whether for an answer or to deliver something.
const BATCH: usize = 16 * 1024;
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// Names a server, as long as it runs: when it was started.
pub type Server = Timestamp;

/// Somebody who waits.
#[derive(Debug)]
struct Asked {
    server: Server,
    since: Instant,
    tell: oneshot::Sender<bool>,
}

/// Where one asks for a flush.
#[derive(Debug, Clone)]
pub(super) struct Flushes {
    asked: mpsc::Sender<Asked>,
    /// Microseconds that one takes: as long as the last, or a little less than one before it; for one has to wait for a flush that is
    /// under way, or for two.
    takes: Arc<AtomicU64>,
}

impl Flushes {
    /// Served by this connection, and by others after it, as long as there is anybody who could ask.
    pub fn over(flusher: Flusher) -> Flushes {
        let (asked, asking) = mpsc::channel(BATCH);
        let takes = Arc::default();
        tokio::spawn(serve(flusher, asking, Arc::clone(&takes)));
        Flushes { asked, takes }
    }

    /// How long a flush takes on this disk.
    pub fn take(&self) -> Duration {
        Duration::from_micros(self.takes.load(Relaxed))
    }

    /// See [`super::Db::flushed`].
    pub async fn flushed(&self, server: Server, since: Instant) -> sqlx::Result<()> {
        let (tell, told) = oneshot::channel();
        self.asked.send(Asked { server, since, tell }).await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        let safe = told.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        safe.then_some(()).ok_or_else(|| {
            let what = "the server went away before what was committed had reached its disk";
            sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionReset, what))
        })
    }
}

async fn serve(mut flusher: Flusher, mut asking: mpsc::Receiver<Asked>, takes: Arc<AtomicU64>) {
    let mut waiting = Vec::new();
    while asking.recv_many(&mut waiting, BATCH).await > 0 {
        let began = Instant::now();
        let flushed = flusher.flush().await.is_ok();
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        takes.store(took.max(takes.load(Relaxed) / 4 * 3), Relaxed);
        // Others are on another server by now, though this one lives.
        let left = waiting.iter().any(|one| one.server != flusher.server && one.since > flusher.since);
        for Asked { server, since, tell } in waiting.drain(..) {
            // Fails where nobody waits any more.
            let _ = tell.send(flushed && since > flusher.since && server == flusher.server);
        }
        while (!flushed || left) && !asking.is_closed() {
            if let Ok(anew) = flusher.again().await {
                flusher = anew;
                break;
            }
            while let Ok(one) = asking.try_recv() {
                let _ = one.tell.send(false);
            }
            stop::pause(PAUSE).await;
        }
    }
}

/// The connection that flushes are made over.
pub(super) struct Flusher {
    connection: PgConnection,
    server: Server,
    /// It was there by then.
    since: Instant,
    options: PgConnectOptions,
    witness: Arc<Witness>,
    /// How long to wait for the server at most.
    limit: Duration,
}

impl Flusher {
    /// Connects.
    pub async fn connect(options: PgConnectOptions, witness: Arc<Witness>, limit: Duration) -> sqlx::Result<Flusher> {
        let mut connection = PgConnection::connect_with(&options).await?;
        restore::recognise(&mut connection, &witness).await?;
        let server = sqlx::query_scalar!(r#"select pg_postmaster_start_time() as "server!""#);
        let server = server.fetch_one(&mut connection).await?;
        Ok(Flusher { connection, server, since: Instant::now(), options, witness, limit })
    }

    async fn again(&self) -> sqlx::Result<Flusher> {
        let connecting = Flusher::connect(self.options.clone(), self.witness.clone(), self.limit);
        tokio::time::timeout(self.limit, connecting).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// A transaction that says nothing, and waits for the disk as the server is set to.
    async fn flush(&mut self) -> sqlx::Result<()> {
        let said = sqlx::query_scalar!("select pg_logical_emit_message(true, 'haiqu', '')::text");
        let flushed = tokio::time::timeout(self.limit, said.fetch_one(&mut self.connection)).await;
        flushed.unwrap_or(Err(sqlx::Error::WorkerCrashed)).map(drop)
    }
}
