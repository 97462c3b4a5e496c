//! What Postgres can do with the same statements and nobody between: `pgbench`, prepared statements, the same planner's settings.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use local::stack::Stack;
use tokio::process::Command;

/// So that no two runs make the same ids.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// How long it runs.
pub enum Lasts {
    /// So long.
    Seconds(u64),
    /// Until each client has done as many.
    Transactions(u32),
}

/// Transactions a second of these scripts, equally often, in the dispatch service's database.
pub async fn pgbench(stack: &Stack, scripts: &[String], clients: usize, lasts: Lasts) -> anyhow::Result<f64> {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let mut pgbench = Command::new(local::tools::install().await?.postgres.join("pgbench"));
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--define=n=0", &format!("--define=run={run}")]);
    pgbench.args(["--client", &clients.to_string(), "--jobs", &clients.min(2).to_string()]);
    match lasts {
        Lasts::Seconds(seconds) => pgbench.args(["--time", &seconds.to_string()]),
        Lasts::Transactions(each) => pgbench.args(["--transactions", &each.to_string()]),
    };
    for (number, script) in scripts.iter().enumerate() {
        let file = stack.servers.folder.join(format!("limit-{run}-{number}.sql"));
        std::fs::write(&file, script)?;
        pgbench.arg("--file").arg(&file);
    }
    pgbench.arg(&stack.databases["dispatch"]);
    pgbench.env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan -c random_page_cost=1.1");
    let output = pgbench.stdin(Stdio::null()).output().await.context("cannot run pgbench")?;
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A complaint repeats the statement, which may be long.
    let complaints: String = complaints.chars().take(500).collect();
    anyhow::ensure!(output.status.success(), "pgbench failed:\n{complaints}{said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench said no rate:\n{said}"))
}
