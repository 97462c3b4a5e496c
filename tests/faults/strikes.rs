//! How each fault strikes, from outside, on real processes. Every strike tells what it truly hit.

mod attacks;
mod clock;
mod failover;
mod links;
mod messages;
mod outside;
mod processes;
mod servers;

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use local::people::{Somebody, channel, request_id};
use local::servers::Server;
use proto::ops::v1::hold_service_client::HoldServiceClient;
use proto::ops::v1::{ConfirmClockRequest, GetHoldRequest, Hold, ReleaseHoldRequest};
use rand::rngs::StdRng;
use sqlx::{Connection as _, PgConnection};
use tonic::transport::Channel;

use super::driver::Driver;
pub use processes::died_at;

use super::history::Window;
use super::rig::Rig;

/// What a fault works with while the load runs.
pub struct Field<'f> {
    /// What is broken.
    pub rig: &'f mut Rig,
    /// The load.
    pub driver: &'f Driver,
    /// Drawn from the run's seed.
    pub rng: &'f mut StdRng,
    /// How long the load lasts.
    pub span: Duration,
    /// How long healing may take.
    pub heals: TimeDelta,
}

/// What a fault hit.
#[derive(Debug, Clone, Default)]
pub struct Struck {
    /// How much; a row that struck nothing fails.
    pub count: u64,
    /// Of what.
    pub what: &'static str,
}

/// A fault that strikes while the load runs; ends before the load does.
pub type Strike = for<'a, 'f> fn(&'a mut Field<'f>) -> BoxFuture<'a, anyhow::Result<Struck>>;

/// A row of the matrix.
#[derive(Clone, Copy)]
pub struct Fault {
    /// As in the table: `F0` for none.
    pub id: &'static str,
    /// In a few words.
    pub name: &'static str,
    /// How it strikes.
    pub strike: Strike,
    /// What it needs beside the usual.
    pub needs: Needs,
    /// Seconds within which what was struck must have healed, as agreed or less.
    pub heals: i64,
    /// Processes of each service.
    pub replicas: usize,
    /// Seconds that the load must last for it at least.
    pub span: f64,
    /// The part of the chosen rate that it runs at: less where what waits after the fault would by itself keep two cores busy for longer
    /// than it may take to heal.
    pub pace: f64,
    /// How long an hour of the ladder lasts, milliseconds.
    pub hour_ms: i64,
}

/// What a row needs beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Clients that drop every call at random.
    Storm,
    /// NATS on a file system of its own.
    NatsDisk,
    /// Postgres on a file system of its own.
    PostgresDisk,
    /// A proxy before each address that a service is told.
    Links,
    /// The same for dispatch alone, whose database moves.
    Turn,
    /// A Postgres whose clock can be put forward.
    Clock,
    /// A Postgres whose flushes can be made slow.
    SlowDisk,
    /// A program that dies by itself where a death is worst.
    FailPoints,
}

/// Every row, in its order.
pub const FAULTS: &[Fault] = &[
    row("F0", "no fault: the control", processes::nothing, Needs::Nothing, 0),
    row("F1", "kill -9 any service", processes::kill_any, Needs::Nothing, 1),
    // Down for a moment, and up within a second.
    Fault { replicas: 1, ..row("F1a", "the same without a second process", processes::kill_any, Needs::Nothing, 2) },
    row("F1p", "death at named points", processes::fail_points, Needs::FailPoints, 2),
    row("F2", "kill -9 all services at once", processes::kill_all, Needs::Nothing, 2),
    row("F3", "NATS killed, stopped", servers::nats_gone, Needs::Nothing, 5),
    row("F4", "JetStream store deleted", messages::store_deleted, Needs::Nothing, 20),
    row("F5", "JetStream store rolled back", messages::store_rolled_back, Needs::Nothing, 20),
    row("F6", "power cut of NATS", servers::nats_power_cut, Needs::NatsDisk, 20),
    row("F7", "power cut of Postgres", servers::postgres_power_cut, Needs::PostgresDisk, 1),
    row("F9", "Postgres killed, backends terminated", servers::postgres_killed, Needs::Nothing, 2),
    // What has not been called meanwhile comes on top, and two cores can do no more than 40 whistles a second when they are slow.
    Fault {
        span: 165.0,
        pace: 2.0 / 3.0,
        ..row("F10", "Postgres away for two minutes", servers::postgres_away, Needs::Nothing, 120)
    },
    Fault { span: 170.0, pace: 0.5, ..row("F11", "SIGSTOP 13 to 75 s", processes::paused, Needs::Nothing, 5) },
    Fault { span: 250.0, ..row("F12", "links cut, half-open, one-way, slow", links::broken, Needs::Links, 10) },
    row("F13", "cancellation storm", processes::storm, Needs::Storm, 0),
    row("F14", "a long transaction elsewhere", servers::long_transaction, Needs::Nothing, 0),
    row("F15", "disk full under NATS", servers::nats_disk_full, Needs::NatsDisk, 30),
    row("F15p", "disk full under Postgres", servers::postgres_disk_full, Needs::PostgresDisk, 30),
    row("F16", "Postgres's clock jumps", clock::jumped, Needs::Clock, 12),
    // Ten whistles a second. An hour is longer than a flush, as it is everywhere, or no unit's answer could be in time.
    Fault {
        span: 240.0,
        pace: 1.0 / 3.0,
        hour_ms: 3000,
        ..row("F17", "a slow disk under Postgres", servers::slow_disk, Needs::SlowDisk, 5)
    },
    row("F18", "events injected again", messages::injected_again, Needs::Nothing, 0),
    Fault { span: 110.0, ..row("F19", "SMS gateway misbehaves", outside::gateway, Needs::Nothing, 12) },
    // A push that was refused waits for a minute at most.
    row("F20", "阳光+ down for a day", outside::platform, Needs::Nothing, 65),
    row("F22", "durable consumers paused, deleted, starved", messages::consumers_gone, Needs::Nothing, 6),
    row("F23", "rapid reset, header flood, compression bomb", attacks::flood, Needs::Nothing, 0),
    row("F25", "dispatch restored into a new cluster", servers::dispatch_restored, Needs::Turn, 40),
    row("F26", "failover to a synchronous standby", failover::promoted, Needs::Nothing, 10),
];

const fn row(id: &'static str, name: &'static str, strike: Strike, needs: Needs, heals: i64) -> Fault {
    Fault { id, name, strike, needs, heals, replicas: 2, span: 0.0, pace: 1.0, hour_ms: 400 }
}

impl Fault {
    /// Why it cannot strike here; such a row is not run, and never counts as one that holds.
    pub fn impossible(&self) -> Option<&'static str> {
        let root = matches!(self.needs, Needs::NatsDisk | Needs::PostgresDisk | Needs::Clock);
        (root && !local::tools::is_root()).then_some("it mounts a file system or installs a library, and needs root")
    }
}

impl Field<'_> {
    /// The NATS that the services use.
    fn nats(&mut self) -> anyhow::Result<&mut Server> {
        self.rig.stack.servers.nats.as_mut().context("no NATS of our own")
    }

    /// The Postgres that they use.
    fn postgres(&mut self) -> anyhow::Result<&mut Server> {
        self.rig.stack.servers.postgres.as_mut().context("no Postgres of our own")
    }

    /// What ops sees of a service that may hold.
    async fn hold(&self, service: &str) -> anyhow::Result<Hold> {
        let (ops, client) = self.ops(service)?;
        Ok(ops.call(GetHoldRequest {}, async |request| client.clone().get_hold(request).await).await?)
    }

    /// Ops has looked, and lets go.
    async fn release(&self, service: &str) -> anyhow::Result<()> {
        let (ops, client) = self.ops(service)?;
        let release = ReleaseHoldRequest { request_id: request_id() };
        ops.call(release, async |request| client.clone().release_hold(request).await).await?;
        Ok(())
    }

    async fn confirm_clock(&self, service: &str) -> anyhow::Result<()> {
        let (ops, client) = self.ops(service)?;
        let confirm = ConfirmClockRequest { request_id: request_id() };
        ops.call(confirm, async |request| client.clone().confirm_clock(request).await).await?;
        Ok(())
    }

    fn ops(&self, service: &str) -> anyhow::Result<(Somebody, HoldServiceClient<Channel>)> {
        let ops = Somebody::new(&self.rig.stack.issuer, "ops", "ops", None, None)?;
        Ok((ops, HoldServiceClient::new(channel(&self.rig.stack, service)?)))
    }

    /// Waits for a part of the load's time.
    pub async fn wait(&self, seconds: f64) {
        local::pause(Duration::from_secs_f64(seconds)).await;
    }

    /// How many rungs fell due between then and then, and have fired.
    pub async fn fell_due(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> anyhow::Result<u64> {
        let due = "select count(*) from rung where due_at between $1 and $2 and fired_at is not null";
        let mut dispatch = PgConnection::connect(&self.rig.stack.databases["dispatch"]).await?;
        let due = sqlx::query_scalar::<_, i64>(due).bind(from).bind(until);
        Ok(due.fetch_one(&mut dispatch).await?.unsigned_abs())
    }

    /// Remembers that a fault struck from then until now.
    pub fn window(&mut self, from: DateTime<Utc>) {
        self.rig.windows.push(Window { from, ended: local::now(), heals: self.heals });
    }
}

/// The process and those that it started.
fn family(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all = vec![pid];
    all.extend(listed.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    all
}
