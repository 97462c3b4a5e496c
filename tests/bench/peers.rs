//! Others that run jobs at a given time from Postgres, in the same server, with the same due times and a smaller task: one row
//! inserted. Installed on demand from `peers/`, with the versions pinned there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use local::process::Spec;
use local::servers::{Servers, create_database, execute};
use local::tools;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::Scale;
use crate::ladder::{BURST as BURST_SIZE, RATE};
use crate::report::{Figure, Times};

/// The figures that peers stand beside.
pub const STEADY: &str = "rung lateness p99, 500 due a second";
/// Of the burst.
pub const BURST: &str = "10 000 due at once, the last committed after";

/// A peer's figures.
pub struct Beside {
    name: &'static str,
    steady: Times,
    burst: Times,
}

/// All peers, one after the other.
pub async fn measure(servers: &Servers, scale: &Scale) -> anyhow::Result<Vec<Beside>> {
    let folder = install().await?;
    let mut all = Vec::new();
    for name in ["graphile-worker", "pg-boss", "awa"] {
        local::progress(&format!("W1: the same due times with {name}"));
        all.push(Peer::new(servers, &folder, name).await?.measure(scale).await?);
    }
    Ok(all)
}

/// Puts the peers' figures beside ours of the largest scale.
pub fn beside(figures: &mut [Figure], peers: &[Beside]) {
    for (what, of) in
        [(STEADY, (|peer| peer.steady.at(0.99)) as fn(&Beside) -> f64), (BURST, |peer| peer.burst.at(1.0))]
    {
        if let Some(figure) = figures.iter_mut().rfind(|figure| figure.what == what) {
            figure.peers = peers.iter().map(|peer| (peer.name.to_owned(), of(peer))).collect::<BTreeMap<_, _>>();
        }
    }
}

/// A copy of `peers/` outside of the checkout, with what it needs.
async fn install() -> anyhow::Result<PathBuf> {
    let (source, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers"), tools::base()?.join("peers"));
    local::progress("installing the peers (once): npm packages, and one crate that takes minutes to build");
    std::fs::create_dir_all(&folder)?;
    tools::run(Command::new("cp").arg("-r").arg(source.join(".")).arg(&folder), "cp").await?;
    let npm = ["ci", "--no-audit", "--no-fund", "--silent"];
    tools::run(Command::new("npm").args(npm).current_dir(&folder), "npm (Debian: apt-get install npm)").await?;
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--release", "--quiet", "--locked"]).current_dir(folder.join("awa"));
    tools::run(cargo.env("CARGO_TARGET_DIR", folder.join("awa/target")), "cargo").await?;
    Ok(folder)
}

struct Peer {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    url: String,
    log: PathBuf,
    database: PgConnection,
}

impl Peer {
    async fn new(servers: &Servers, folder: &Path, name: &'static str) -> anyhow::Result<Peer> {
        let own = format!("peer_{}_{:08x}", name.replace('-', "_"), rand::random::<u32>());
        create_database(servers, &own, "peer").await?;
        let mut superuser = servers.superuser(&own).await?;
        // Its million of jobs may take longer than a service's transaction.
        execute(&mut superuser, format!("alter role {own} reset all")).await?;
        superuser.close().await?;
        let url = servers.url(&own, "peer", &own)?;
        let mut database = PgConnection::connect(&url).await?;
        execute(&mut database, "create table effect (id bigint primary key, due timestamptz not null)".into()).await?;
        let (program, args) = match name {
            "awa" => (folder.join("awa/target/release/awa-peer"), Vec::new()),
            script => (
                folder.join("node_modules/.bin/node"),
                vec![folder.join(format!("{script}.mjs")).display().to_string()],
            ),
        };
        let log = servers.folder.join(format!("logs/{name}.log"));
        Ok(Peer { name, program, args, url, log, database })
    }

    async fn measure(mut self, scale: &Scale) -> anyhow::Result<Beside> {
        self.run(&["prepare", "--pending", &scale.pending().to_string()]).await?;
        let spec = Spec {
            name: self.name.to_owned(),
            program: self.program.clone(),
            args: [self.args.clone(), vec!["work".into()]].concat(),
            env: vec![("DATABASE_URL".into(), self.url.clone())],
            log: self.log.clone(),
            signal: "TERM",
            user: None,
        };
        let worker = spec.start().await?;
        #[expect(clippy::cast_possible_truncation, reason = "a count of jobs is small")]
        let count = (RATE * scale.steady.as_secs_f64()) as i64;
        let steady = self.fire(count, RATE, scale.steady).await;
        let burst = self.fire(BURST_SIZE, 0.0, Duration::from_secs(1)).await;
        worker.stop().await;
        Ok(Beside { name: self.name, steady: steady?, burst: burst? })
    }

    async fn fire(&mut self, count: i64, rate: f64, lasts: Duration) -> anyhow::Result<Times> {
        execute(&mut self.database, "truncate effect".into()).await?;
        // Time enough to write them down, and to come to rest after it.
        let start = local::now() + TimeDelta::seconds(20);
        let numbers = [start.timestamp_millis().to_string(), count.to_string(), rate.to_string()];
        self.run(&["due", "--start", &numbers[0], "--count", &numbers[1], "--rate", &numbers[2]]).await?;
        execute(&mut self.database, "vacuum analyze".into()).await?;
        self.all(count, start + TimeDelta::from_std(lasts)?).await
    }

    async fn all(&mut self, count: i64, until: DateTime<Utc>) -> anyhow::Result<Times> {
        anyhow::ensure!(local::now() < until, "{} takes too long to write its jobs down", self.name);
        loop {
            local::pause(Duration::from_millis(500)).await;
            if local::now() < until {
                continue;
            }
            let late: Vec<f64> = sqlx::query_scalar(
                "select (extract(epoch from pg_xact_commit_timestamp(xmin) - due) * 1000)::float8 from effect",
            )
            .fetch_all(&mut self.database)
            .await?;
            if i64::try_from(late.len())? == count {
                return Ok(Times::of(late));
            }
            let name = self.name;
            anyhow::ensure!(local::now() < until + TimeDelta::minutes(3), "{name}: {} of {count} jobs ran", late.len());
        }
    }

    async fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).args(args).env("DATABASE_URL", &self.url);
        tools::run(&mut command, self.name).await.with_context(|| args.join(" "))
    }
}
