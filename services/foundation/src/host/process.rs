//! The process: which tasks run, in which order they stop, and when it gives up.
//!
//! On SIGTERM or Ctrl-C: ready goes false; intake stops (calls, subscriptions, schedules); work in progress ends, but for events that are
//! being applied, which come again; the outbox is relayed; telemetry is flushed. A second signal or 20 s end it at once. A task that dies
//! takes the process down with a failing exit code: half a service is worse than none.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::health::Health;
use super::telemetry::{self, Telemetry};
use super::tick::Tick;
use super::{housekeeping, ops};
use crate::BoxFuture;
use crate::base::{Stop, config, stop};
use crate::call::{Auth, Calls, Server};
use crate::data::{Db, Schema, clock, db};
use crate::log::cursor::Sealer;
use crate::log::tail::Tail;
use crate::log::{Bus, Feed, Routes, bus, catch_up, event_log, relay};
use crate::out::{self, Way};

const DEADLINE: Duration = Duration::from_secs(20);
type Task = (&'static str, Box<dyn FnOnce(Tick) -> BoxFuture<'static, anyhow::Result<()>> + Send>);

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
    server: Server,
    intake: Vec<Task>,
    /// Ends everything that takes work in.
    stop: Stop,
    delivers: bool,
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
        let auth = Auth::new(name, &config.issuer, &config.audience, config.client_secret.clone())?;
        let (health, stop) = (Health::new(), Stop::new());
        let server = Server::new(&config, health.service()).service(event_log::EventLog::server(db.clone(), name));
        let server = ops::serve(server, Calls { db: db.clone(), stop: stop.clone() });
        let (cleaned, watched) = (db.clone(), db.clone());
        let intake = Vec::new();
        let host = Host { name, config, telemetry, health, db, bus, auth, server, intake, stop, delivers: false };
        Ok(host
            .schedule("housekeeping", move |tick| housekeeping::run(cleaned, tick.stop))
            .schedule("clock", move |tick| clock::watch(watched, tick.stop)))
    }

    /// What handlers of calls work with.
    pub fn calls(&self) -> Calls {
        Calls { db: self.db.clone(), stop: self.stop.clone() }
    }

    /// This service's feed, for handlers that let somebody watch.
    pub fn feed(mut self) -> (Host, Feed) {
        let (tail, runner) = Tail::new(self.name, self.db.clone(), self.bus.clone());
        let feed = Feed::new(self.db.clone(), tail, Sealer::new(self.config.cursor_key.clone()), self.stop.clone());
        self = self.schedule("feed", move |tick| runner.run(tick.stop));
        (self, feed)
    }

    /// Serves these calls.
    pub fn grpc(mut self, add: impl FnOnce(Server) -> Server) -> Host {
        self.server = add(self.server);
        self
    }

    /// Subscribes to these events, over NATS and by catching up.
    pub fn subscribe(mut self, routes: Routes) -> anyhow::Result<Host> {
        if routes.is_empty() {
            return Ok(self);
        }
        for source in catch_up::sources(&routes, &self.config.peers, &self.auth.credentials)? {
            let (db, bus, routes) = (self.db.clone(), self.bus.clone(), routes.clone());
            self = self.schedule("catch-up", move |tick| catch_up::run(db, bus, routes, source, tick.stop));
        }
        let (db, bus) = (self.db.clone(), self.bus.clone());
        Ok(self.schedule("subscription", move |tick| bus::subscribe(db, bus, routes, tick.stop)))
    }

    /// Delivers what leaves by this way.
    pub fn deliver<W: Way>(mut self, way: W) -> Host {
        if !std::mem::replace(&mut self.delivers, true) {
            let db = self.db.clone();
            self = self.schedule("orphans", move |tick| out::free_orphans(db, tick.stop));
        }
        if W::RECEIPTS {
            let (db, way) = (self.db.clone(), way.clone());
            self = self.schedule("receipts", move |tick| out::receipts(way, db, tick.context().clone(), tick.stop));
        }
        let db = self.db.clone();
        self.schedule(W::NAME, move |tick| out::deliver(way, db, tick.context().clone(), tick.stop))
    }

    /// Runs timed work until the stop.
    pub fn schedule<F>(mut self, name: &'static str, task: impl FnOnce(Tick) -> F + Send + 'static) -> Host
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.intake.push((name, Box::new(move |tick| Box::pin(task(tick)))));
        self
    }

    /// Runs timed work until the stop, on a thread of its own, so that no other work of this process is in its way. It keeps to sessions
    /// of its own: a pool's connection that was made there would end with it.
    pub fn urgent<F>(self, name: &'static str, task: impl FnOnce(Tick) -> F + Send + 'static) -> Host
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.schedule(name, move |tick| apart(name, task(tick)))
    }

    /// Runs until a signal or a dead task.
    pub async fn run(self) -> anyhow::Result<()> {
        let (intake_stop, relay_stop) = (self.stop, Stop::new());
        let (mut intake, mut background) = (JoinSet::new(), JoinSet::new());
        let (db, bus) = (self.db.clone(), self.bus.clone());
        let stop = relay_stop.clone();
        background.spawn(named("relay", async move { relay::run(self.name, db, bus, stop).await }));
        for (name, task) in self.intake {
            intake.spawn(named(name, task(Tick::new(intake_stop.clone()))));
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
            () = stop::pause(DEADLINE) => tracing::error!("work in progress did not end in time: stopping at once"),
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
        tracing::error!("signals cannot be received; only a kill ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
