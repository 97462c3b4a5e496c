//! The judge judged: every bug runs twice under one seed, with the guard and without it. With the bug some invariant must be named;
//! without it none.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::bugs;
use super::matrix::{find, print};
use super::row::{self, Plan, Row};
use super::strikes::Needs;

/// Faults under which a bug is looked for when nobody says which, the likeliest first.
const LIKELY: [&str; 5] = ["F0", "F9", "F18", "F4", "F2"];

/// Every seeded bug must be caught, and its twin be clean.
pub async fn seeded(plan: &Plan) -> anyhow::Result<ExitCode> {
    let mut twins = BTreeMap::new();
    let mut missed = Vec::new();
    for bug in bugs::SEEDED {
        if !caught(bug.name, bug.patch, Some(bug.breaks), &[bug.fault], plan, &mut twins).await? {
            missed.push(bug.name);
        }
    }
    Ok(ended(&missed))
}

/// A bug out of a file must be caught under one of these faults, and the twin be clean.
pub async fn given(patch: &str, faults: &[String], plan: &Plan) -> anyhow::Result<ExitCode> {
    let own = faults.iter().find(|id| find(id).is_ok_and(|fault| fault.needs == Needs::FailPoints));
    anyhow::ensure!(own.is_none(), "F1p runs a program of its own: name another fault");
    let named: Vec<&str> = faults.iter().map(String::as_str).collect();
    let faults = if named.is_empty() { &LIKELY[..] } else { &named };
    let caught = caught("given-patch", patch, None, faults, plan, &mut BTreeMap::new()).await?;
    Ok(ended(if caught { &[] } else { &["the given patch"] }))
}

fn ended(missed: &[&str]) -> ExitCode {
    if missed.is_empty() {
        print("every bug was caught, and its twin is clean");
        return ExitCode::SUCCESS;
    }
    print(&format!("not shown: {}", missed.join(", ")));
    ExitCode::FAILURE
}

async fn caught(
    name: &str,
    patch: &str,
    breaks: Option<&str>,
    faults: &[&str],
    plan: &Plan,
    twins: &mut BTreeMap<String, Row>,
) -> anyhow::Result<bool> {
    let broken = Plan { binary: Some(bugs::build(name, patch).await?), ..plan.clone() };
    for id in faults {
        let fault = find(id)?;
        local::progress(&format!("{name}, under {id}"));
        // A strike may find by itself that something does not hold.
        let with = row::run(fault, &broken).await.unwrap_or_else(|error| Row::failed(fault, plan.seed, &error));
        // A run that could not be made has violated nothing.
        if breaks.map_or(with.invariants.is_empty(), |invariant| !with.invariants.contains_key(invariant)) {
            print(&format!("{name}, {id}: violations {:?}", with.invariants));
            continue;
        }
        if !twins.contains_key(*id) {
            local::progress(&format!("the same without {name}"));
            twins.insert((*id).to_owned(), row::run(fault, plan).await?);
        }
        let without = &twins[*id];
        print(&format!(
            "{name}, {id}, seed {}: with {:?}, without {:?}",
            plan.seed, with.invariants, without.invariants
        ));
        let named = |wrong: &&String| breaks.is_none_or(|invariant| wrong.starts_with(&format!("{invariant}:")));
        with.violations.iter().find(named).into_iter().for_each(|first| print(&format!("    {first}")));
        without.violations.iter().for_each(|wrong| print(&format!("    without it: {wrong}")));
        return Ok(without.violations.is_empty() && without.struck > 0);
    }
    print(&format!("{name}: {} was not violated under {}", breaks.unwrap_or("no invariant"), faults.join(" ")));
    Ok(false)
}
