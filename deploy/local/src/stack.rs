//! The whole of Haiqu on this machine: servers, databases, migration jobs, every service as its own process, watched.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use proto::SERVICES;
use tokio::process::Command;
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::issuer::Issuer;
use crate::process::{self, Process, Spec, free_port, tail};
use crate::progress;
use crate::servers::{self, Given, Servers, create_database};
use crate::stand_ins::gateway::Gateway;
use crate::stand_ins::platform::Platform;
use crate::stand_ins::{Ledger, desk};

/// Where the named service connects instead of the address that it would be told.
pub type Through = Arc<dyn Fn(&'static str, SocketAddr) -> anyhow::Result<SocketAddr> + Send + Sync>;

/// How to run it.
#[derive(Clone)]
pub struct Options {
    /// Servers to use instead of private ones.
    pub given: Given,
    /// Services to run.
    pub services: Vec<&'static str>,
    /// Processes of each service.
    pub replicas: usize,
    /// Point the services at another NATS than the one that runs.
    pub nats_for_services: Option<String>,
    /// More environment for every service.
    pub env: Vec<(String, String)>,
    /// Run this program instead of building this tree's.
    pub binary: Option<PathBuf>,
    /// Put something between every service and what it connects to.
    pub through: Option<Through>,
}

impl Default for Options {
    fn default() -> Options {
        let (given, env) = (Given::default(), Vec::new());
        let services = SERVICES.to_vec();
        Options { given, services, replicas: 1, nats_for_services: None, env, binary: None, through: None }
    }
}

/// One process of a service.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The service.
    pub service: &'static str,
    /// Its gRPC address.
    pub address: String,
    /// Its log.
    pub log: PathBuf,
    pid: Arc<Mutex<u32>>,
    deaths: Arc<Mutex<Vec<DateTime<Utc>>>>,
    killed: Arc<AtomicUsize>,
}

impl Replica {
    /// Its pid now; 0 while it is being started.
    pub fn pid(&self) -> u32 {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it died.
    pub fn deaths(&self) -> Vec<DateTime<Utc>> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it died though nobody killed it.
    pub fn died_by_itself(&self) -> usize {
        self.deaths().len().saturating_sub(self.killed.load(Ordering::Relaxed))
    }
}

/// Everything, running.
pub struct Stack {
    /// The servers.
    pub servers: Servers,
    /// The development issuer.
    pub issuer: Issuer,
    /// The SMS gateway.
    pub gateway: Gateway,
    /// 阳光+
    pub platform: Platform,
    /// What the stand-ins received.
    pub ledger: Ledger,
    /// Every process.
    pub replicas: Vec<Replica>,
    /// Database URLs by service.
    pub databases: BTreeMap<&'static str, String>,
    stop: watch::Sender<bool>,
    watchers: Vec<tokio::task::JoinHandle<()>>,
    gave_up: watch::Receiver<Option<String>>,
}

impl Stack {
    /// Starts it all; ready when it returns.
    pub async fn start(options: &Options) -> anyhow::Result<Stack> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => build().await?,
        };
        progress("starting Postgres and NATS");
        let servers = Servers::start(&options.given).await?;
        progress("making databases and running the migration jobs");
        let databases = databases(&servers, &binary).await?;
        let issuer = Issuer::start().await?;
        let ledger = Ledger::create(&servers.folder.join("logs"))?;
        let (gateway, platform) = (Gateway::start(ledger.clone()).await?, Platform::start(ledger.clone()).await?);
        let replicas = addresses(&servers, options.replicas)?;
        let shared = Shared { options, servers: &servers, issuer: &issuer, gateway: &gateway, platform: &platform };
        let (stop, gave_up_sender) = (watch::Sender::new(false), watch::Sender::new(None));
        let gave_up = gave_up_sender.subscribe();
        progress("starting the services");
        let mut watchers = Vec::new();
        let run = |replica: &&Replica| options.services.contains(&replica.service);
        for replica in replicas.iter().filter(run) {
            let spec = shared.spec(&binary, replica, &replicas, &databases[replica.service])?;
            let watcher = watch_over(spec, replica.clone(), stop.subscribe(), gave_up_sender.clone());
            watchers.push(tokio::spawn(watcher));
        }
        for replica in replicas.iter().filter(run) {
            ready(replica, &gave_up).await?;
        }
        let of = |service| replicas.iter().filter(run).filter(move |replica| replica.service == service);
        desk::start(ledger.clone(), &issuer, of("notifications").map(|replica| replica.address.clone()).collect())?;
        Ok(Stack { servers, issuer, gateway, platform, ledger, replicas, databases, stop, watchers, gave_up })
    }

    /// The addresses of a service.
    pub fn addresses(&self, service: &str) -> Vec<String> {
        let of = self.replicas.iter().filter(|replica| replica.service == service);
        of.map(|replica| replica.address.clone()).collect()
    }

    /// Kills the first process of a service with -9; it is started again.
    pub async fn kill(&self, service: &str) {
        if let Some(replica) = self.replicas.iter().find(|replica| replica.service == service) {
            kill(replica).await;
        }
    }

    /// Ends when a server is gone or a service keeps dying, saying which.
    pub async fn failed(&self) -> String {
        let mut gave_up = self.gave_up.clone();
        let services = async {
            match gave_up.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = services => reason,
            () = gone(self.servers.postgres.as_ref()) => "Postgres has stopped".into(),
            () = gone(self.servers.nats.as_ref()) => "NATS has stopped".into(),
        }
    }

    /// Stops everything, services first.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for watcher in self.watchers {
            if let Err(error) = watcher.await {
                eprintln!("{error}");
            }
        }
        self.servers.stop().await;
    }
}

/// Kills a process with -9; false when there is none, because it is being started.
pub async fn kill(replica: &Replica) -> bool {
    let pid = replica.pid();
    if pid != 0 {
        replica.killed.fetch_add(1, Ordering::Relaxed);
        process::signal("KILL", pid).await;
    }
    pid != 0
}

async fn gone(server: Option<&servers::Server>) {
    match server {
        Some(server) => {
            // However it ended, it is gone.
            let _ = server.process.ended().await;
        }
        None => std::future::pending().await,
    }
}

/// Builds the binary, in the profile that we were built in ourselves.
async fn build() -> anyhow::Result<PathBuf> {
    progress("building the haiqu binary");
    let folder = crate::binaries()?;
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "--package", "haiqu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let profile = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if profile != "debug" {
        cargo.args(["--profile", &profile]);
    }
    cargo.arg("--target-dir").arg(folder.parent().context("no target folder")?);
    let status = cargo.status().await.context("cannot run cargo")?;
    if !status.success() {
        bail!("the haiqu binary cannot be built");
    }
    Ok(folder.join("haiqu"))
}

async fn databases(servers: &Servers, binary: &Path) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut databases = BTreeMap::new();
    for service in SERVICES {
        // A given server may hold those of an earlier run.
        let name = format!("haiqu_{service}_{:08x}", rand::random::<u32>());
        let password = format!("{:032x}", rand::random::<u128>());
        create_database(servers, &name, &password).await?;
        databases.insert(service, servers.url(&name, &password, &name)?);
    }
    let jobs = databases.iter().map(|(service, url)| async move {
        let mut job = Command::new(binary);
        crate::tools::run(job.args(["migrate", service]).env("HAIQU_DATABASE_URL", url), "a migration job").await
    });
    futures::future::try_join_all(jobs).await?;
    Ok(databases)
}

fn addresses(servers: &Servers, replicas: usize) -> anyhow::Result<Vec<Replica>> {
    let mut all = Vec::new();
    for service in SERVICES {
        for number in 1..=replicas {
            let address = format!("http://127.0.0.1:{}", free_port()?);
            let log = servers.folder.join(format!("logs/{service}-{number}.log"));
            all.push(Replica {
                service,
                address,
                log,
                pid: Arc::default(),
                deaths: Arc::default(),
                killed: Arc::default(),
            });
        }
    }
    Ok(all)
}

struct Shared<'s> {
    options: &'s Options,
    servers: &'s Servers,
    issuer: &'s Issuer,
    gateway: &'s Gateway,
    platform: &'s Platform,
}

impl Shared<'_> {
    fn spec(&self, binary: &Path, replica: &Replica, all: &[Replica], database: &str) -> anyhow::Result<Spec> {
        let of = |service: &str| -> anyhow::Result<String> {
            let own = all.iter().filter(|other| other.service == service);
            let told = own.map(|other| self.through(replica, &other.address)).collect::<anyhow::Result<Vec<_>>>()?;
            Ok(format!("{service}={}", told.join("|")))
        };
        let peers = SERVICES.iter().map(|service| of(service)).collect::<anyhow::Result<Vec<_>>>()?;
        let nats = self.options.nats_for_services.as_ref().unwrap_or(&self.servers.nats_url);
        let photos = format!("file://{}", self.servers.folder.join("photos").display());
        let link_base = all.iter().find(|other| other.service == "notifications").map(|other| other.address.clone());
        let mut env: Vec<(String, String)> = [
            ("HAIQU_LISTEN", replica.address.trim_start_matches("http://")),
            ("HAIQU_DATABASE_URL", &self.through(replica, database)?),
            ("HAIQU_NATS_URL", &self.through(replica, nats)?),
            ("HAIQU_ISSUER", &self.issuer.url),
            ("HAIQU_CLIENT_SECRET", &self.issuer.client_secret),
            ("HAIQU_PEERS", &peers.join(",")),
            ("HAIQU_CURSOR_KEY", &self.issuer.client_secret),
            ("HAIQU_REFLECTION", "true"),
            ("HAIQU_WITHOUT_STANDBY", "true"),
            ("HAIQU_PHOTO_STORE", &photos),
            ("HAIQU_SMS_URL", &self.through(replica, &self.gateway.url)?),
            ("HAIQU_SMS_KEY", &self.gateway.key),
            ("HAIQU_LINK_BASE", &link_base.unwrap_or_default()),
            ("HAIQU_LINK_KEY", &self.issuer.client_secret),
            ("HAIQU_PLATFORM_URL", &self.through(replica, &self.platform.url)?),
            ("HAIQU_PLATFORM_KEY", &self.platform.key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        env.extend(self.options.env.iter().cloned());
        let args = vec![replica.service.to_owned()];
        let (name, program, log) = (replica.service.to_owned(), binary.to_owned(), replica.log.clone());
        Ok(Spec { name, program, args, env, log, signal: "TERM", user: None })
    }

    /// The URL with the address that a service is told.
    fn through(&self, by: &Replica, url: &str) -> anyhow::Result<String> {
        let Some(through) = &self.options.through else { return Ok(url.to_owned()) };
        let address = servers::address(url)?;
        Ok(url.replace(&address.to_string(), &through(by.service, address)?.to_string()))
    }
}

/// A process that has lived longer has begun its work.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Starts a process again whenever it dies; gives up when it dies three times in a row as soon as it was started.
async fn watch_over(
    spec: Spec,
    replica: Replica,
    mut stop: watch::Receiver<bool>,
    gave_up: watch::Sender<Option<String>>,
) {
    let mut in_a_row = 0;
    loop {
        let started = Instant::now();
        let process: Process = match spec.start().await {
            Ok(process) => process,
            Err(error) => {
                gave_up.send_replace(Some(format!("{error:#}")));
                return;
            }
        };
        *replica.pid.lock().unwrap_or_else(PoisonError::into_inner) = process.pid;
        let status = tokio::select! {
            status = process.ended() => Some(status),
            () = told(&mut stop) => None,
        };
        let Some(status) = status else { return process.stop().await };
        *replica.pid.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        replica.deaths.lock().unwrap_or_else(PoisonError::into_inner).push(crate::now());
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        progress(&format!("{} died ({status}); starting it again", spec.name));
        in_a_row = if started.elapsed() < AT_ONCE { in_a_row + 1 } else { 0 };
        if in_a_row == 3 {
            let reason =
                format!("{} died three times as soon as it was started; its log ends:\n{}", spec.name, tail(&spec.log));
            gave_up.send_replace(Some(reason));
            return;
        }
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // The sender is gone only with the whole stack.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until a process says that it is ready.
async fn ready(replica: &Replica, gave_up: &watch::Receiver<Option<String>>) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(replica.address.clone())?.connect_lazy();
    for _ in 0..600 {
        if HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.is_ok() {
            return Ok(());
        }
        if let Some(reason) = gave_up.borrow().as_ref() {
            bail!("{reason}");
        }
        crate::pause(Duration::from_millis(50)).await;
    }
    bail!("{} is not ready after 30 s; its log ends:\n{}", replica.service, tail(&replica.log))
}
