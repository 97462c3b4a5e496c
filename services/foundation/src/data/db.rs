//! Postgres: pools and transactions.
//!
//! A cancelled `begin()` leaves a pooled connection inside an open transaction, and tonic cancels handlers when a client
//! goes away. So a transaction begins in a task of its own, which nobody cancels: whoever is cancelled while waiting for it
//! leaves a transaction that is known, and rolled back. (A `rollback` whenever a connection returns to its pool would do
//! too, and make two round trips of every query.) Pools are small, and each loop has a connection of its own (the ladder three);
//! `k8s/` adds them up.
//!
//! No commit waits for the disk, but for those that number events. What is committed is done anew, to the same end, when a crash of the
//! server has undone it, for nothing of it has left: an answer and what was taken up wait for a flush ([`super::flush`]), an event for the
//! commit that numbers it; and the server's log is written in order.
//!
//! A server may vanish without a word: its host is gone, or the way to it. Whatever waits for it then waits for as long as TCP
//! hopes, a quarter of an hour, and so does its connection's place in the pool. So nothing of ours waits longer than [`LIMIT`];
//! when that has passed, the pools are closed and new ones take their place, and what hangs on the old ones hangs alone.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::watch;

use super::flush::{Flusher, Flushes, Server};
use super::restore::{self, Witness};
use super::schema::{self, Schema, SchemaError};
use crate::base::chain::Chain;
use crate::base::error::is_permanent;
use crate::base::{id, stop};

/// How long our own work may wait for the database: longer than any of it takes (a lock, and a commit that waits for two flushes of a
/// slow disk), shorter than a server that vanished without a word would hold it up.
const LIMIT: Duration = Duration::from_secs(8);
/// How long a statement waits for somebody else's lock: then it has failed, and its connection is free for others.
const LOCKED: &str = "2s";

/// The service's database.
#[derive(Debug, Clone)]
pub struct Db {
    /// Names this process among its replicas, as Postgres sees its sessions: work that it took up is free again when none of
    /// its sessions is left.
    pub instance: Arc<str>,
    commits: watch::Sender<u64>,
    received: watch::Sender<u64>,
    published: watch::Sender<u64>,
    log: watch::Sender<i64>,
    flushes: Flushes,
    /// What this process has seen of the log.
    pub(crate) witness: Arc<Witness>,
    options: PgConnectOptions,
    pools: Arc<Mutex<Pools>>,
    silence: Silence,
}

/// When the server last did not answer: connections made before are not used any more.
type Silence = Arc<Mutex<Option<Instant>>>;

#[derive(Debug)]
struct Pools {
    rpc: PgPool,
    work: PgPool,
    since: Instant,
}

impl Db {
    /// For handlers of calls.
    pub fn rpc(&self) -> PgPool {
        self.pool(|pools| &pools.rpc)
    }

    /// For the relay, consumers and schedules, and for what other services ask on behalf of theirs.
    pub fn work(&self) -> PgPool {
        self.pool(|pools| &pools.work)
    }

    /// Begins a transaction on the pool for background work.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_on(self.work()).await
    }

    /// Begins a transaction on the pool for handlers of calls.
    pub async fn begin_call(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_on(self.rpc()).await
    }

    /// Begins, whatever becomes of whoever waits for it.
    #[expect(clippy::disallowed_methods, reason = "the one place that begins")]
    async fn begin_on(&self, pool: PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
        let db = self.clone();
        let begun = tokio::spawn(async move { db.in_time(pool.begin()).await }).await;
        begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Commits, and wakes whoever waits for something to do: the relay and the schedules of this process.
    pub async fn commit(&self, tx: Transaction<'static, Postgres>) -> sqlx::Result<()> {
        tx.commit().await?;
        self.committed();
        Ok(())
    }

    /// Asks until the server answers: for what must be known or written before a service begins.
    pub async fn insist<T, F: Future<Output = sqlx::Result<T>>>(&self, ask: impl Fn(Db) -> F) -> sqlx::Result<T> {
        loop {
            match self.in_time(ask(self.clone())).await {
                Err(error) if !is_permanent(&error) => {
                    tracing::warn!(error = %Chain(&error), "waiting for the database");
                    stop::pause(Duration::from_millis(500)).await;
                }
                answered => return answered,
            }
        }
    }

    /// Wakes whoever waits for something to do: the relay and the schedules of this process.
    pub fn committed(&self) {
        for waiting in [&self.commits, &self.published] {
            waiting.send_modify(|count| *count += 1);
        }
    }

    /// Wakes whoever acts on what was received: there is work of a process that has died.
    pub(crate) fn wake_deliveries(&self) {
        self.received.send_modify(|count| *count += 1);
    }

    /// Wakes the schedules and whoever acts on what was received; the relay when there is something for it.
    pub(crate) fn committed_received(&self, published: bool) {
        for waiting in [&self.commits, &self.received].into_iter().chain(published.then_some(&self.published)) {
            waiting.send_modify(|count| *count += 1);
        }
    }

    /// Commits events that were received.
    pub(crate) async fn commit_received(&self, tx: Transaction<'static, Postgres>) -> sqlx::Result<()> {
        tx.commit().await?;
        self.committed_received(true);
        Ok(())
    }

    /// Does this work, or gives it up when the database does not answer; connections made before are then used no more.
    pub async fn in_time<T, E: From<sqlx::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let (began, mut work) = (Instant::now(), std::pin::pin!(work));
        if let Ok(done) = tokio::time::timeout(LIMIT, &mut work).await {
            return done;
        }
        self.fell_silent(began);
        // Before the work is dropped: a connection that is left in the middle of something must find its pool closed.
        self.work();
        let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer within 8 s");
        Err(sqlx::Error::Io(silent).into())
    }

    /// Work that began then was given up: unless it hung on connections that are not used any more, none is used that is there now.
    fn fell_silent(&self, began: Instant) {
        let mut silence = locked(&self.silence);
        if silence.is_none_or(|last| last < began) {
            *silence = Some(Instant::now());
        }
    }

    /// A pool that was made since the server last did not answer.
    fn pool(&self, which: fn(&Pools) -> &PgPool) -> PgPool {
        let (mut pools, silence) = (locked(&self.pools), *locked(&self.silence));
        if silence.is_some_and(|silence| pools.since < silence) {
            tracing::warn!("the database did not answer within 8 s: its connections are made anew");
            let [rpc, work] = [&pools.rpc, &pools.work].map(|old| old.options().get_max_connections());
            let old = std::mem::replace(&mut *pools, Pools::new(rpc, work, &unflushed(&self.options), &self.witness));
            for pool in [old.rpc, old.work] {
                // Closed from now on, though saying goodbye may take a while.
                drop(pool.close());
                tokio::spawn(async move { pool.close().await });
            }
        }
        which(&pools).clone()
    }

    /// Tells of commits of this process.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Tells of commits of this process that may have published something.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Tells of events that this process has received.
    pub(crate) fn received(&self) -> watch::Receiver<u64> {
        self.received.subscribe()
    }

    /// The log has come this far.
    pub(crate) fn log_reached(&self, position: i64) {
        self.witness.advanced(position);
        self.log.send_if_modified(|known| std::mem::replace(known, position.max(*known)) < position);
    }

    /// Tells how far this process knows the log to have come.
    pub(crate) fn log(&self) -> watch::Receiver<i64> {
        self.log.subscribe()
    }

    /// Waits until what was committed on this server since then, and is committed by now, cannot be lost any more. An error says that
    /// it may be: the call has no outcome yet, and is repeated.
    pub async fn flushed(&self, server: Server, since: Instant) -> sqlx::Result<()> {
        self.flushes.flushed(server, since).await
    }

    /// How long a flush takes on this disk.
    pub fn flushing(&self) -> Duration {
        self.flushes.take()
    }

    /// A connection for one loop alone; made when it is first needed. Its commits do not wait for the disk.
    pub fn session(&self) -> Session {
        Session { db: self.clone(), options: unflushed(&self.options), kept: None, made: Instant::now() }
    }

    /// One whose commits wait for the disk: for who numbers events.
    pub fn flushed_session(&self) -> Session {
        Session { options: self.options.clone(), ..self.session() }
    }
}

/// For commits that do not wait for the disk.
fn unflushed(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("synchronous_commit", "off")])
}

/// A connection that one loop keeps to itself. No other work holds it up, and it is never given back to a pool, which would ask the
/// server every time whether it still lives. Whoever takes it and does not keep it (work failed, was given up or cancelled) has
/// closed it, whatever it was in the middle of, and the next one is new.
#[derive(Debug)]
pub struct Session {
    /// The database that it is a connection to.
    pub db: Db,
    options: PgConnectOptions,
    kept: Option<PgConnection>,
    made: Instant,
}

impl Session {
    /// The connection, to be kept when all went well.
    pub async fn take(&mut self) -> sqlx::Result<PgConnection> {
        let silence = *locked(&self.db.silence);
        if let Some(kept) = self.kept.take().filter(|_| silence.is_none_or(|silence| silence < self.made)) {
            return Ok(kept);
        }
        self.made = Instant::now();
        let mut connection = PgConnection::connect_with(&self.options).await?;
        restore::recognise(&mut connection, &self.db.witness).await?;
        Ok(connection)
    }

    /// Nothing is under way on it.
    pub fn keep(&mut self, connection: PgConnection) {
        self.kept = Some(connection);
    }
}

fn locked<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pools {
    fn new(rpc: u32, work: u32, options: &PgConnectOptions, witness: &Arc<Witness>) -> Pools {
        let (rpc, work) = (pool(rpc, options, witness), pool(work, options, witness));
        Pools { rpc, work, since: Instant::now() }
    }
}

/// Connects, waiting for the server with backoff; refuses a database of another service, and a schema that is neither this program's
/// nor the next.
pub async fn connect(url: &SecretString, schema: Schema) -> anyhow::Result<Db> {
    let instance = format!("{}/{}", schema.name, id::new());
    // Every statement is prepared: it is planned once, not for each of its values; and what it reads is in memory, or on a disk
    // that does not turn.
    let planner = [("plan_cache_mode", "force_generic_plan"), ("random_page_cost", "1.1")];
    // What the server has for us and we do not take keeps its locks no longer than this.
    let silence = [("tcp_user_timeout", "5000"), ("lock_timeout", LOCKED)];
    // Whatever the role or the server is set to: what is said to be on disk is on the standby's as well.
    let safe = [("synchronous_commit", "on")];
    let options = PgConnectOptions::from_str(url.expose_secret())?.application_name(&instance);
    let options = options.options(planner).options(silence).options(safe);
    let witness = Arc::new(Witness::default());
    let pools = Pools::new(5, 2, &unflushed(&options), &witness);
    let mut wait = Duration::from_millis(50);
    let flusher = loop {
        let checked = async {
            schema::check(&pools.rpc, schema).await?;
            Flusher::connect(options.clone(), witness.clone(), LIMIT).await.map_err(SchemaError::Database)
        };
        match checked.await {
            Ok(flusher) => break flusher,
            Err(SchemaError::Database(error)) => {
                tracing::warn!(error = %Chain(&error), "waiting for the database");
                stop::pause(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
            Err(refused) => return Err(refused.into()),
        }
    };
    let [commits, received, published] = std::array::from_fn(|_| watch::Sender::new(0));
    let log = watch::Sender::new(0);
    let (pools, silence) = (Arc::new(Mutex::new(pools)), Silence::default());
    let flushes = Flushes::over(flusher);
    Ok(Db { instance: instance.into(), commits, received, published, log, flushes, witness, options, pools, silence })
}

fn pool(connections: u32, options: &PgConnectOptions, witness: &Arc<Witness>) -> PgPool {
    let witness = witness.clone();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let witness = witness.clone();
            Box::pin(async move { restore::recognise(connection, &witness).await })
        })
        .connect_lazy_with(options.clone())
}
