//! The process: which tasks run, in which order they stop, and when it gives up.
//!
//! On SIGTERM or Ctrl-C: ready goes false; intake stops (calls, subscriptions, schedules); work in hand ends; the outbox
//! is relayed; telemetry is flushed. A second signal or 20 s end it at once. A task that dies takes the process down with
//! a failing exit code: half a service is worse than none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::bus::{self, Bus};
use crate::db::{Db, Schema};
use crate::health::Health;
use crate::inbox::Routes;
use crate::telemetry::{self, Telemetry};
use crate::{BoxFuture, catchup, clock, config, db, event_log, housekeeping, ops, relay, rpc};

const DEADLINE: Duration = Duration::from_secs(20);
/// No loop rests longer because it was slow.
const MOST_REST: Duration = Duration::from_millis(25);

/// Tells a task to end.
#[derive(Debug, Clone)]
pub struct Stop(CancellationToken);

impl Default for Stop {
    fn default() -> Stop {
        Stop::new()
    }
}

impl Stop {
    /// Not requested yet.
    pub fn new() -> Stop {
        Stop(CancellationToken::new())
    }

    /// Asks everything that holds this to end.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Ends when the task shall.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Whether the task shall end.
    pub fn requested(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Waits. Schedules race it against [`Stop::wait`].
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Rests between two passes of a loop for as long as the last one took, and for a time at least: what comes meanwhile is done
/// together, for a fraction of the work; the busier the machine, the more so.
pub async fn breathe(began: Instant, least: Duration) {
    pause(began.elapsed().clamp(least, least.max(MOST_REST))).await;
}

type Task = (&'static str, Box<dyn FnOnce(Stop) -> BoxFuture<'static, anyhow::Result<()>> + Send>);

/// A service about to run.
pub struct Host {
    name: &'static str,
    config: config::Service,
    telemetry: Telemetry,
    health: Health,
    /// The service's database.
    pub db: Db,
    /// NATS.
    pub bus: Bus,
    /// Who calls, and how this service calls others.
    pub auth: Auth,
    server: rpc::Server,
    intake: Vec<Task>,
}

impl Host {
    /// Starts telemetry, connects, and refuses a schema that is neither this program's nor the next.
    pub async fn start(config: config::Service, schema: Schema) -> anyhow::Result<Host> {
        let name = schema.name;
        let telemetry = telemetry::start(name, &config)?;
        let db = db::connect(&config.database_url, schema).await?;
        clock::begin(&db).await;
        event_log::register_consumers(&db, name).await?;
        let bus = bus::connect(&config.nats_url, name).await?;
        let auth = Auth::new(name, &config)?;
        let health = Health::new();
        let server = rpc::Server::new(&config, health.service()).service(event_log::EventLog::server(db.clone(), name));
        let server = ops::serve(server, &db);
        let (cleaned, watched) = (db.clone(), db.clone());
        let host = Host { name, config, telemetry, health, db, bus, auth, server, intake: Vec::new() };
        Ok(host
            .schedule("housekeeping", move |stop| housekeeping::run(cleaned, stop))
            .schedule("clock", move |stop| clock::watch(watched, stop)))
    }

    /// Serves these calls.
    pub fn grpc(mut self, add: impl FnOnce(rpc::Server) -> rpc::Server) -> Host {
        self.server = add(self.server);
        self
    }

    /// Hears these facts, over NATS and by catching up.
    pub fn subscribe(mut self, routes: Routes) -> anyhow::Result<Host> {
        if routes.is_empty() {
            return Ok(self);
        }
        for source in catchup::sources(&routes, &self.config.peers, &self.auth.credentials)? {
            let (db, bus, routes) = (self.db.clone(), self.bus.clone(), routes.clone());
            self = self.schedule("catch-up", move |stop| catchup::run(db, bus, routes, source, stop));
        }
        let (db, bus) = (self.db.clone(), self.bus.clone());
        Ok(self.schedule("subscription", move |stop| bus::subscribe(db, bus, routes, stop)))
    }

    /// Runs timed work until the stop.
    pub fn schedule<F>(mut self, name: &'static str, task: impl FnOnce(Stop) -> F + Send + 'static) -> Host
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.intake.push((name, Box::new(move |stop| Box::pin(task(stop)))));
        self
    }

    /// Runs timed work until the stop, on a thread of its own, so that no other work of this process is in its way. It keeps to sessions
    /// of its own: a pool's connection that was made there would end with it.
    pub fn urgent<F>(self, name: &'static str, task: impl FnOnce(Stop) -> F + Send + 'static) -> Host
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.schedule(name, move |stop| apart(name, task(stop)))
    }

    /// Runs until a signal or a dead task.
    pub async fn run(self) -> anyhow::Result<()> {
        let (intake_stop, relay_stop) = (Stop::new(), Stop::new());
        let (mut intake, mut background) = (JoinSet::new(), JoinSet::new());
        let (db, bus) = (self.db.clone(), self.bus.clone());
        let stop = relay_stop.clone();
        background.spawn(named("relay", async move { relay::run(db, bus, stop).await }));
        for (name, task) in self.intake {
            intake.spawn(named(name, task(intake_stop.clone())));
        }
        let listener = listen(self.config.listen).await?;
        intake.spawn(named("rpc", self.server.serve(listener, self.auth.clone(), intake_stop.clone())));
        self.health.ready(true);
        tracing::info!(service = self.name, address = %self.config.listen, "ready");
        let died = tokio::select! {
            () = stop_signal() => None,
            Some(ended) = intake.join_next() => Some(ended),
            Some(ended) = background.join_next() => Some(ended),
        };
        self.health.ready(false);
        intake_stop.request();
        let orderly = async {
            while intake.join_next().await.is_some() {}
            relay_stop.request();
            while background.join_next().await.is_some() {}
        };
        tokio::select! {
            () = orderly => {}
            () = stop_signal() => tracing::warn!("second signal: stopping at once"),
            () = pause(DEADLINE) => tracing::error!("work in hand did not end in time: stopping at once"),
        }
        self.telemetry.flush().await;
        match died {
            None => Ok(()),
            Some(Ok((name, Ok(())))) => anyhow::bail!("{name} ended by itself"),
            Some(Ok((name, Err(error)))) => Err(error.context(name)),
            Some(Err(panic)) => Err(panic.into()),
        }
    }
}

async fn named(
    name: &'static str,
    task: impl Future<Output = anyhow::Result<()>>,
) -> (&'static str, anyhow::Result<()>) {
    (name, task.await)
}

async fn apart(
    name: &'static str,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(work));
        // Nobody listens any more when the process is stopping at once.
        let _ = tell.send(done);
    })?;
    ended.await.context("its thread panicked")?
}

async fn listen(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    let listening = tokio::net::TcpListener::bind(address).await;
    listening.map_err(|error| anyhow::anyhow!("cannot listen on {address}: {error}; is the port taken?"))
}

async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard; only a kill ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
