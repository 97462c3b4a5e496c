//! `cargo bench-system`: an alias in `.cargo/config.toml`. Workloads beside their limits and their peers, in one run; each workload, its
//! limit and its peers on the same Postgres server, and durability is never switched off. Figures are printed and decide nothing.

mod blowing;
mod capture;
mod cost;
mod fill;
mod footprint;
mod ladder;
mod life;
mod limits;
mod pace;
mod peers;
mod process;
mod report;
mod rounds;
mod sms;
mod watching;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::TimeDelta;
use clap::{Parser, ValueEnum};
use local::servers::{Given, Servers};
use local::stack::Options;
use report::{Figure, Report};

/// Measure the backbone beside what its servers can do and beside its peers.
#[derive(Debug, Parser)]
struct Arguments {
    /// Workloads to run; W1 and W2 are measured together. All without.
    #[arg(ignore_case = true)]
    workloads: Vec<Workload>,
    /// Fewer whistles stored, and shorter: ends within 5 minutes of being built, without peers.
    #[arg(long)]
    quick: bool,
    /// Leave out the peers.
    #[arg(long)]
    without_peers: bool,
    /// Where the figures go as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench-system.json")]
    json: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Workload {
    /// Rungs fall due: so many a second, and many at one instant.
    W1,
    /// Whistles are blown by many callers.
    W2,
    /// From the call to the first SMS, and from an event to its last subscriber.
    W3,
    /// From what happens to a thousand watchers of it.
    W4,
    /// What a whistle costs from the call to its last outcome.
    Life,
    /// Footprint, start, catch-up.
    W5,
}

/// What is drawn at random follows from it.
const SEED: u64 = 1;

/// How much, and how long.
struct Scale {
    /// Whistles stored, one figure for each.
    stored: Vec<i64>,
    /// How long before what falls due is written down.
    lead: TimeDelta,
    /// How often all of them are measured, one after the other; an odd number, of which one is in the middle.
    rounds: u32,
    /// How long rungs fall due, in each round.
    steady: Duration,
    /// How long whistles are blown, in each round.
    busy: Duration,
    /// How long services idle.
    idle: Duration,
    /// Batches of 100 rungs that pgbench fires, in each round.
    batches: u32,
    /// Events to catch up with.
    events: i32,
    /// Whether peers run.
    peers: bool,
    /// The program as it ships, which takes minutes to build; none for the one that everything else here runs.
    shipped: Option<PathBuf>,
}

impl Scale {
    async fn of(arguments: &Arguments) -> anyhow::Result<Scale> {
        let seconds = Duration::from_secs;
        Ok(match arguments.quick {
            true => Scale {
                stored: vec![10_000],
                lead: TimeDelta::seconds(15),
                rounds: 1,
                steady: seconds(10),
                busy: seconds(8),
                idle: seconds(10),
                batches: 210,
                events: 20_000,
                peers: false,
                shipped: None,
            },
            false => Scale {
                stored: vec![10_000, 100_000, 1_000_000],
                lead: TimeDelta::seconds(30),
                rounds: 3,
                steady: seconds(20),
                busy: seconds(8),
                idle: seconds(60),
                batches: 330,
                events: 100_000,
                peers: !arguments.without_peers,
                shipped: Some(footprint::shipped().await?),
            },
        })
    }

    /// Servers of their own, and the program that is measured.
    fn options(&self) -> Options {
        Options { binary: self.shipped.clone(), ..Options::default() }
    }

    /// Rungs, or jobs, that are due much later.
    fn pending(&self) -> i64 {
        // As many as there are rungs: one for each unit, 1.5 a whistle, no more than the million that is spoken of.
        self.stored.last().map_or(0, |whistles| (whistles * 3 / 2).min(1_000_000))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (scale, wanted) = (Scale::of(arguments).await?, |one: Workload| {
        arguments.workloads.is_empty() || arguments.workloads.contains(&one)
    });
    let ladder = wanted(Workload::W1) || wanted(Workload::W2);
    let peers = if scale.peers && ladder { Some(peers::install().await?) } else { None };
    let mut report = Report { of: machine().await?, figures: Vec::new() };
    let mut failed = Vec::new();
    // What fails must not cost us what was measured before, or what can be after it.
    let mut add = |measured: anyhow::Result<Vec<Figure>>| match measured {
        Ok(figures) => report.add(figures, &arguments.json),
        Err(error) => {
            local::progress(&format!("failed: {error:#}"));
            failed.push(error);
            Ok(())
        }
    };
    if ladder {
        add(ladder::measure(&scale, peers.as_deref()).await)?;
    }
    if wanted(Workload::W3) {
        add(sms::measure(&scale).await)?;
    }
    if wanted(Workload::W4) {
        add(watching::measure(&scale).await)?;
    }
    if wanted(Workload::Life) {
        add(life::measure(&scale).await)?;
    }
    if wanted(Workload::W5) {
        add(footprint::measure(&scale).await)?;
        add(footprint::catch_up(&scale).await)?;
    }
    print(&report);
    failed.pop().map_or(Ok(()), Err)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(report: &Report) {
    for (name, value) in &report.of {
        println!("{name}: {value}");
    }
    println!("\n{}", report.table());
    if let Some(growth) = report.growth() {
        println!("\n{growth}");
    }
}

/// Where, when and with what this is measured.
async fn machine() -> anyhow::Result<BTreeMap<String, String>> {
    let mut of = BTreeMap::new();
    let mut note = |name: &str, value: String| drop(of.insert(name.to_owned(), value));
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    note("machine", format!("{cores} cores, {}", model.map_or("unknown", |(_, model)| model)));
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    note("memory", memory.lines().next().unwrap_or_default().replace("MemTotal:", "").trim().to_owned());
    for (name, does) in peers::described()? {
        note(&format!("peer {name}"), does);
    }
    note("seed", SEED.to_string());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    note("kernel", kernel.split('-').next().unwrap_or_default().trim().to_owned());
    note("sessions", "random_page_cost 1.1; plan_cache_mode force_generic_plan for Haiqu and pgbench".into());
    note("date", local::now().to_rfc3339());
    let mut command: Vec<_> = std::env::args().collect();
    command.splice(..1, ["cargo bench-system".to_owned()]);
    note("command", command.join(" "));
    let mut git = tokio::process::Command::new("git");
    let commit = git.args(["describe", "--always", "--dirty", "--exclude=*"]).output().await?;
    note("commit", String::from_utf8_lossy(&commit.stdout).trim().to_owned());
    settings(&mut note).await?;
    Ok(of)
}

/// The servers' versions and settings.
async fn settings(note: &mut impl FnMut(&str, String)) -> anyhow::Result<()> {
    let servers = Servers::start(&Given::default()).await?;
    let mut connection = servers.superuser("postgres").await?;
    for setting in [
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "track_commit_timestamp",
        "autovacuum",
        "autovacuum_naptime",
        "shared_buffers",
        "max_wal_size",
    ] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut connection).await?;
        note(&format!("postgres {setting}"), value);
    }
    let nats = async_nats::connect(&servers.nats_url).await?;
    note("nats", nats.server_info().version);
    drop(connection);
    servers.stop().await;
    Ok(())
}
