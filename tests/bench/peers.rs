//! Others that run jobs at a given time from Postgres, in the same server, with the same due times and a smaller task: one row
//! inserted. Installed on demand from `peers/`, with the versions pinned there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use local::process::{Spec, tail};
use local::servers::{Servers, create_database, execute};
use local::tools;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::ladder::Load;
use crate::report::{Figure, Times};
use crate::{Scale, fill, process};

/// The figures that peers stand beside.
pub const P50: &str = "rung lateness p50, 500 due a second";
/// The same, p99.
pub const P99: &str = "rung lateness p99, 500 due a second";
/// The same, the greatest.
pub const MOST: &str = "rung lateness max, 500 due a second";
/// The median burst.
pub const BURST: &str = "10 000 due at once, the last committed after";
/// With its servers, and as many pending as ever.
pub const IDLE: &str = "share of a core with nothing due";

const FILES: [(&str, &str); 8] = [
    ("package.json", include_str!("peers/package.json")),
    ("package-lock.json", include_str!("peers/package-lock.json")),
    ("cli.mjs", include_str!("peers/cli.mjs")),
    ("graphile-worker.mjs", include_str!("peers/graphile-worker.mjs")),
    ("pg-boss.mjs", include_str!("peers/pg-boss.mjs")),
    ("awa/Cargo.toml", include_str!("peers/awa/Cargo.toml")),
    ("awa/Cargo.lock", include_str!("peers/awa/Cargo.lock")),
    ("awa/src/main.rs", include_str!("peers/awa/src/main.rs")),
];
/// Each with what it does, beside a rung of ours.
const ALL: [(&str, &str); 4] = [
    (
        "graphile-worker",
        "polls every 50 ms; 24 jobs side by side, each inserts one row; that and the end of the job are two transactions; \
         of a finished job nothing is kept; less than ours: no state, named effects, next due time or event",
    ),
    (
        "pg-boss",
        "polls every 500 ms, its least, with four workers; 500 jobs a batch insert their rows with one statement, in one transaction \
         with their end; less than ours: no named effects, next due time or event",
    ),
    (
        "awa",
        "its queue storage; promotes what is due every 25 ms; 50 jobs side by side, each inserts one row; that and the end of the \
         job are two transactions; less than ours: no named effects, next due time or event; more: a heartbeat and a deadline a job",
    ),
    ("awa-canonical", "the same with its storage of before 0.6"),
];

/// A peer's figures.
pub struct Beside {
    name: &'static str,
    idle: f64,
    steady: Times,
    burst: Times,
}

/// All peers, one after the other. One that fails is not in the table, and says why.
pub async fn measure(servers: &Servers, folder: &Path, scale: &Scale) -> Vec<Beside> {
    let mut all = Vec::new();
    for (name, _) in ALL {
        local::progress(&format!("W1: the same due times with {name}"));
        match measured(servers, folder, name, scale).await {
            Ok(beside) => all.push(beside),
            Err(error) => local::progress(&format!("{name} is not in the table: {error:#}")),
        }
    }
    all
}

async fn measured(servers: &Servers, folder: &Path, name: &'static str, scale: &Scale) -> anyhow::Result<Beside> {
    Peer::new(servers, folder, name).await?.measure(servers, scale).await
}

/// Puts the peers' figures beside ours of the largest scale.
pub fn beside(figures: &mut [Figure], peers: &[Beside]) {
    for peer in peers {
        let (steady, burst) = (|part| peer.steady.at(part), |part| peer.burst.at(part));
        for (what, value) in
            [(P50, steady(0.5)), (P99, steady(0.99)), (MOST, steady(1.0)), (BURST, burst(0.5)), (IDLE, peer.idle)]
        {
            if let Some(figure) = figures.iter_mut().rfind(|figure| figure.what == what) {
                figure.peers.insert(peer.name.to_owned(), value);
            }
        }
    }
}

/// Puts the peers outside of the checkout, with what they need.
pub async fn install() -> anyhow::Result<PathBuf> {
    let all: String = FILES.iter().map(|(_, text)| *text).collect();
    let folder = tools::base()?.join(format!("peers-{:016x}", tools::fingerprint(&all)));
    if folder.join("installed").exists() {
        return Ok(folder);
    }
    local::progress("installing the peers (once): npm packages, and one crate that takes minutes to build");
    std::fs::create_dir_all(folder.join("awa/src"))?;
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text)?;
    }
    let npm = ["ci", "--no-audit", "--no-fund", "--silent"];
    tools::run(Command::new("npm").args(npm).current_dir(&folder), "npm (Debian: apt-get install npm)").await?;
    tools::run(Command::new(folder.join("node_modules/.bin/node")).arg("--version"), "node of the peers").await?;
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--release", "--quiet", "--locked"]).current_dir(folder.join("awa"));
    tools::run(cargo.env("CARGO_TARGET_DIR", folder.join("awa/target")), "cargo").await?;
    std::fs::write(folder.join("installed"), "")?;
    Ok(folder)
}

/// Each peer with its version and what it does.
pub fn described() -> anyhow::Result<Vec<(&'static str, String)>> {
    let package: serde_json::Value = serde_json::from_str(include_str!("peers/package.json"))?;
    let node = package["devDependencies"]["node"].as_str().context("no version of Node")?;
    let mut crates = include_str!("peers/awa/Cargo.toml").lines();
    let awa = crates.find_map(|line| line.strip_prefix("awa = \"=")?.strip_suffix('"')).context("no version of awa")?;
    let version = |name| match package["dependencies"][name].as_str() {
        Some(version) => format!("{version} on Node {node}"),
        None => awa.to_owned(),
    };
    Ok(ALL.iter().map(|(name, does)| (*name, format!("{}: {does}", version(name)))).collect())
}

struct Peer {
    name: &'static str,
    /// Its database.
    own: String,
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
        // As our services have it.
        execute(&mut superuser, format!("alter role {own} set random_page_cost = 1.1")).await?;
        superuser.close().await?;
        let url = servers.url(&own, "peer", &own)?;
        let mut database = PgConnection::connect(&url).await?;
        execute(&mut database, "create table effect (id bigint primary key, due timestamptz not null)".into()).await?;
        let (program, args) = match name {
            "awa" => (folder.join("awa/target/release/awa-peer"), Vec::new()),
            "awa-canonical" => (folder.join("awa/target/release/awa-peer"), vec!["--canonical".to_owned()]),
            script => (
                folder.join("node_modules/.bin/node"),
                vec![folder.join(format!("{script}.mjs")).display().to_string()],
            ),
        };
        let log = servers.folder.join(format!("logs/{name}.log"));
        Ok(Peer { name, own, program, args, url, log, database })
    }

    async fn measure(mut self, servers: &Servers, scale: &Scale) -> anyhow::Result<Beside> {
        let mut settling = servers.superuser(&self.own).await?;
        self.run(&["prepare", "--pending", &scale.pending().to_string()]).await?;
        fill::settle(&mut settling).await?;
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
        let measured = async {
            local::pause(Duration::from_secs(5)).await;
            let postgres = servers.postgres.as_ref().map(|server| server.process.pid);
            let both: Vec<_> = postgres.into_iter().chain([worker.pid]).collect();
            let idle = process::share(&both, scale.steady).await?;
            let (mut steady, mut bursts) = (Vec::new(), Vec::new());
            for _ in 0..scale.rounds {
                steady.push(self.fire(&mut settling, &Load::steady(scale.steady), scale.lead).await?);
            }
            for _ in 0..scale.rounds {
                bursts.push(self.fire(&mut settling, &Load::burst(), scale.lead).await?.at(1.0));
                // A peer that does not come to an end is a figure too, and must not cost us all others; nor is it asked again.
                if bursts.contains(&f64::INFINITY) {
                    break;
                }
            }
            let steady = Times::all(&steady.iter().collect::<Vec<_>>());
            Ok(Beside { name: self.name, idle, steady, burst: Times::of(bursts) })
        };
        let measured: anyhow::Result<Beside> = measured.await;
        worker.stop().await;
        measured.with_context(|| format!("the log of {} ends:\n{}", self.name, tail(&self.log)))
    }

    async fn fire(&mut self, settling: &mut PgConnection, load: &Load, lead: TimeDelta) -> anyhow::Result<Times> {
        let Load { count, rate, lasts } = *load;
        execute(&mut self.database, "truncate effect".into()).await?;
        let start = local::now() + lead;
        let numbers = [start.timestamp_millis().to_string(), count.to_string(), rate.to_string()];
        self.run(&["due", "--start", &numbers[0], "--count", &numbers[1], "--rate", &numbers[2]]).await?;
        fill::settle(settling).await?;
        anyhow::ensure!(local::now() < start, "{} takes too long to write its jobs down", self.name);
        self.all(count, start + TimeDelta::from_std(lasts)?).await
    }

    async fn all(&mut self, count: i64, until: DateTime<Utc>) -> anyhow::Result<Times> {
        loop {
            local::pause(Duration::from_millis(500)).await;
            if local::now() < until {
                continue;
            }
            let mut late: Vec<f64> = sqlx::query_scalar(
                "select (extract(epoch from pg_xact_commit_timestamp(xmin) - due) * 1000)::float8 from effect",
            )
            .fetch_all(&mut self.database)
            .await?;
            if i64::try_from(late.len())? == count {
                return Ok(Times::of(late));
            }
            if local::now() > until + TimeDelta::minutes(3) {
                local::progress(&format!("{}: {} of {count} jobs ran within three minutes", self.name, late.len()));
                late.resize(usize::try_from(count)?, f64::INFINITY);
                return Ok(Times::of(late));
            }
        }
    }

    async fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).args(args).env("DATABASE_URL", &self.url);
        tools::run(&mut command, self.name).await.with_context(|| args.join(" "))
    }
}
