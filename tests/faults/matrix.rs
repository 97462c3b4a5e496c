//! `cargo faults`: the table, row by row; resumable by fault.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use serde::{Deserialize, Serialize};

use super::row::{self, Plan, Row};
use super::strikes::{FAULTS, Fault};
use super::twins;

/// Break Haiqu on purpose, and judge what came through.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Faults to run, for example F4 F11.
    pub faults: Vec<String>,
    /// Run every fault.
    #[arg(long)]
    pub all: bool,
    /// Everything follows from it; drawn and printed without.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long the load of a row lasts; longer where its fault takes longer.
    #[arg(long, default_value_t = 2.25, conflicts_with_all = ["seeded_bugs", "bug"])]
    pub minutes: f64,
    /// Whistles a second.
    #[arg(long, default_value_t = 30.0)]
    pub rate: f64,
    /// Skip the rows that have held already: on this commit, under this seed and load.
    #[arg(long, conflicts_with_all = ["seeded_bugs", "bug"])]
    pub resume: bool,
    /// Break each guard in turn in a copy of this tree: the judge must name every bug, and nothing without it.
    #[arg(long)]
    pub seeded_bugs: bool,
    /// The same with a patch of your own, under the faults that you name or, one after the other, F0 F9 F18 F4 F2.
    #[arg(long, value_name = "FILE")]
    pub bug: Option<PathBuf>,
}

/// Violations of a row that are printed; its file has all of them.
const SHOWN: usize = 5;
/// How long the load lasts where bugs are looked for.
const TWIN: f64 = 40.0;

/// Runs what was asked for.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    print(&format!("seed {seed}"));
    if arguments.seeded_bugs {
        return twins::seeded(&plan(&arguments, seed, TWIN)).await;
    }
    if let Some(file) = &arguments.bug {
        let patch = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        return twins::given(&patch, &arguments.faults, &plan(&arguments, seed, TWIN)).await;
    }
    rows(&arguments, &plan(&arguments, seed, arguments.minutes * 60.0)).await
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of whistles is small")]
fn plan(arguments: &Arguments, seed: u64, seconds: f64) -> Plan {
    let rate = arguments.rate;
    Plan { seed, whistles: (seconds * rate) as usize, rate, binary: None }
}

async fn rows(arguments: &Arguments, plan: &Plan) -> anyhow::Result<ExitCode> {
    let chosen = choose(arguments)?;
    let file = local::binaries()?.join(format!("faults-{}.json", plan.seed));
    // What this run is of: rows of another commit, or under another load, are not resumed.
    let of = format!("{} {} {}", revision().await?, arguments.minutes, arguments.rate);
    let mut rows = kept(&file, &of, arguments.resume)?;
    let (began, mut skipped) = (tokio::time::Instant::now(), 0);
    for fault in &chosen {
        if arguments.resume && rows.get(fault.id).is_some_and(Row::holds) {
            continue;
        }
        if let Some(why) = fault.impossible() {
            print(&format!("{} {} is skipped: {why}", fault.id, fault.name));
            skipped += 1;
            continue;
        }
        local::progress(&format!("{} {}", fault.id, fault.name));
        let row = match row::run(fault, plan).await {
            Ok(row) => row,
            Err(error) => Row::failed(fault, plan.seed, &error),
        };
        print(&format!("{}\n{}", heading(), line(&row)));
        let wrong: Vec<_> = row.violations.iter().chain(&row.late).collect();
        wrong.iter().take(SHOWN).for_each(|violation| print(&format!("    {violation}")));
        if wrong.len() > SHOWN {
            print(&format!("    and {} more, in {}", wrong.len() - SHOWN, file.display()));
        }
        row.last.iter().for_each(|last| print(&format!("    the last to heal {last}")));
        rows.insert(fault.id.to_owned(), row);
        let run = Run { of: of.clone(), rows };
        std::fs::write(&file, serde_json::to_string_pretty(&run)?)?;
        rows = run.rows;
    }
    print(&format!("took {} minutes", began.elapsed().as_secs() / 60));
    rows.retain(|id, _| chosen.iter().any(|fault| fault.id == id));
    Ok(summary(&rows, skipped, plan.seed))
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(super) fn print(text: &str) {
    println!("{text}");
}

fn choose(arguments: &Arguments) -> anyhow::Result<Vec<&'static Fault>> {
    if arguments.all {
        return Ok(FAULTS.iter().collect());
    }
    let chosen = arguments.faults.iter().map(|id| find(id)).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!chosen.is_empty(), "say which faults, or --all; --help lists what else there is");
    Ok(chosen)
}

/// The row with this name.
pub fn find(id: &str) -> anyhow::Result<&'static Fault> {
    let known = || FAULTS.iter().map(|fault| fault.id).collect::<Vec<_>>().join(" ");
    FAULTS.iter().find(|fault| fault.id == id).with_context(|| format!("no fault {id}; there are {}", known()))
}

/// A run as it is kept.
#[derive(Serialize, Deserialize)]
struct Run {
    of: String,
    rows: BTreeMap<String, Row>,
}

/// The rows of this commit under this load that have run already: to go on from, or to be added to.
fn kept(file: &PathBuf, of: &str, resume: bool) -> anyhow::Result<BTreeMap<String, Row>> {
    let Ok(text) = std::fs::read(file) else { return Ok(BTreeMap::new()) };
    match serde_json::from_slice::<Run>(&text) {
        Ok(run) if run.of == of && resume && of.contains("-dirty ") => {
            anyhow::bail!(
                "the tree differs from its commit, so nobody can say what the rows are of: commit, or run without --resume"
            )
        }
        Ok(run) if run.of == of => Ok(run.rows),
        Ok(run) if resume => anyhow::bail!("{} is of {}, not of {of}: run without --resume", file.display(), run.of),
        Err(error) if resume => Err(error).context(file.display().to_string()),
        Ok(_) | Err(_) => Ok(BTreeMap::new()),
    }
}

/// The commit, and whether the tree is as it was then.
async fn revision() -> anyhow::Result<String> {
    let mut git = tokio::process::Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = git.output().await.context("cannot run git")?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn summary(rows: &BTreeMap<String, Row>, skipped: usize, seed: u64) -> ExitCode {
    print(&format!("\n{}", heading()));
    for fault in FAULTS {
        if let Some(row) = rows.get(fault.id) {
            print(&line(row));
        }
    }
    let sum = |of: fn(&Row) -> usize| rows.values().map(of).sum::<usize>();
    let [lost, doubled, early] = [0, 1, 2].map(|index| rows.values().map(|row| row.wrong[index]).sum::<usize>());
    print(&format!(
        "\n{} whistles, {} effects: {lost} lost, {doubled} doubled, {early} early; seed {seed}",
        sum(|row| row.whistles),
        sum(|row| row.effects)
    ));
    let failed: Vec<_> = rows.values().filter(|row| !row.holds()).map(|row| row.fault.as_str()).collect();
    if !failed.is_empty() {
        print(&format!("does not hold: {}", failed.join(" ")));
        return ExitCode::FAILURE;
    }
    // What was skipped has not passed.
    if skipped > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn heading() -> String {
    let columns = [
        "fault",
        "",
        "seed",
        "whistles",
        "struck",
        "effects",
        "lost",
        "doubled",
        "early",
        "latest ms",
        "rungs p50/p99 ms",
        "outside p50/p99 ms",
        "healed ms",
        "of ms",
        "holds",
    ];
    format!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))
}

fn line(row: &Row) -> String {
    let [lost, doubled, early] = row.wrong;
    let ([p50, p99], [rung_p50, rung_p99]) = (row.outside_ms, row.rungs_ms);
    let holds = row.fails().map_or("yes".to_owned(), |why| format!("no: {why}"));
    format!(
        "| {} | {} | {} | {} | {} {} | {} | {lost} | {doubled} | {early} | {} | {rung_p50}/{rung_p99} | {p50}/{p99} | {} | {} | {holds} |",
        row.fault,
        row.name,
        row.seed,
        row.whistles,
        row.struck,
        row.struck_what,
        row.effects,
        row.latest_ms,
        row.healed_ms,
        row.heals_ms
    )
}
