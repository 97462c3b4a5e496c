//! What is broken: the whole of Haiqu with two processes of each service, servers that can be killed, paused and started again,
//! and, where a row asks for it, a proxy before each address that a service is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use local::servers::{Data, Given, Servers};
use local::stack::{Options, Replica, Stack, Through};

use super::disk::{self, Disk};
use super::history::Window;
use super::proxy::{Link, Proxy};
use super::strikes::Needs;

type Hops = BTreeMap<(&'static str, SocketAddr), Proxy>;

/// Everything, running.
pub struct Rig {
    /// It.
    pub stack: Stack,
    /// When faults struck.
    pub windows: Vec<Window>,
    hops: Arc<Mutex<Hops>>,
    disk: Option<Disk>,
    dial: Option<PathBuf>,
    others: Vec<Servers>,
}

/// A proxy before each address that a service is told, where the row needs them.
fn through(needs: Needs, hops: Arc<Mutex<Hops>>) -> Option<Through> {
    let through = move |service: &'static str, address: SocketAddr| {
        if needs == Needs::Turn && service != "dispatch" {
            return Ok(address);
        }
        let mut known = hops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proxy) = known.get(&(service, address)) {
            return Ok(proxy.address);
        }
        let proxy = Proxy::before(address)?;
        let own = proxy.address;
        known.insert((service, address), proxy);
        Ok(own)
    };
    matches!(needs, Needs::Links | Needs::Turn).then(|| Arc::new(through) as Through)
}

/// What Postgres is loaded with, and the file that this reads: what time it is, or how long a flush takes.
async fn dial(needs: Needs) -> anyhow::Result<(Option<PathBuf>, Vec<(String, String)>)> {
    let file = local::tools::base()?.join(format!("dial-{}", std::process::id()));
    let env = match needs {
        Needs::Clock => {
            local::tools::install_faketime().await?;
            local::tools::faketime(&file)
        }
        Needs::SlowDisk => disk::slow(&file).await?,
        _ => return Ok((None, Vec::new())),
    };
    std::fs::write(&file, "+0")?;
    Ok((Some(file), env))
}

impl Rig {
    /// Starts it; with another program than this tree's where a bug is seeded.
    pub async fn start(binary: Option<PathBuf>, replicas: usize, needs: Needs) -> anyhow::Result<Rig> {
        let (disk, data) = match needs {
            Needs::Nothing
            | Needs::Storm
            | Needs::Links
            | Needs::Turn
            | Needs::Clock
            | Needs::SlowDisk
            | Needs::FailPoints => (None, Data::default()),
            Needs::NatsDisk => {
                let disk = Disk::make("nats", 192).await?;
                let nats = Some(disk.data());
                (Some(disk), Data { nats, ..Data::default() })
            }
            Needs::PostgresDisk => {
                let disk = Disk::make("postgres", 1024).await?;
                let postgres = Some(disk.data());
                (Some(disk), Data { postgres, ..Data::default() })
            }
        };
        let (dial, postgres_env) = dial(needs).await?;
        let data = Data { postgres_env, ..data };
        let hops: Arc<Mutex<Hops>> = Arc::default();
        let given = Given { data, ..Given::default() };
        let through = through(needs, hops.clone());
        let options = Options { given, replicas, binary, through, ..Options::default() };
        let stack = Stack::start(&options).await?;
        if let Some(disk) = &disk {
            // The servers have just been set up: without this a power cut would take the setting up itself.
            disk.sync().await?;
        }
        Ok(Rig { stack, windows: Vec::new(), hops, disk, dial, others: Vec::new() })
    }

    fn hops_now(&self) -> std::sync::MutexGuard<'_, Hops> {
        self.hops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes every hop to an address; returns how many connections that hits.
    pub fn link(&self, to: SocketAddr, link: Link) -> usize {
        self.hops_now().iter().filter(|((_, target), _)| *target == to).map(|(_, proxy)| proxy.set(link)).sum()
    }

    /// Every address that some service connects to.
    pub fn targets(&self) -> Vec<SocketAddr> {
        let mut targets: Vec<_> = self.hops_now().keys().map(|(_, target)| *target).collect();
        targets.sort();
        targets.dedup();
        targets
    }

    /// What a service connects to `from` goes to `to` from now on; what is open is cut.
    pub async fn turn(&self, service: &'static str, from: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
        let proxy = self.hops_now().get(&(service, from)).cloned().context("no such hop")?;
        proxy.turn_to(to);
        proxy.set(Link::Cut);
        local::pause(std::time::Duration::from_millis(100)).await;
        proxy.set(Link::Good);
        Ok(())
    }

    /// What Postgres's clock shows from now on: `+3600` for an hour ahead, `+0` for the time. Or how long each of its flushes takes
    /// beside what it takes anyhow: `+500`, in milliseconds.
    pub fn turn_dial(&self, to: &str) -> anyhow::Result<()> {
        let file = self.dial.as_ref().context("this row has no clock or disk of its own")?;
        // In one step: nobody reads half of it.
        let new = file.with_extension("new");
        std::fs::write(&new, to)?;
        Ok(std::fs::rename(new, file)?)
    }

    /// The processes of a service.
    pub fn of(&self, service: &str) -> Vec<Replica> {
        self.stack.replicas.iter().filter(|replica| replica.service == service).cloned().collect()
    }

    /// The file system that the row asked for.
    pub fn disk(&mut self) -> anyhow::Result<&mut Disk> {
        self.disk.as_mut().context("this row has no disk of its own")
    }

    /// Servers that belong to the row from now on.
    pub fn keep(&mut self, servers: Servers) {
        self.others.push(servers);
    }

    /// Stops everything, and gives back what was mounted.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stack.stop().await;
        for servers in self.others {
            servers.stop().await;
        }
        if let Some(file) = self.dial {
            std::fs::remove_file(&file)?;
            for made in ["so", "c"].map(|kind| file.with_extension(kind)).iter().filter(|made| made.exists()) {
                std::fs::remove_file(made)?;
            }
        }
        match self.disk {
            Some(disk) => disk.remove().await,
            None => Ok(()),
        }
    }
}
