//! A selection of the fault matrix that `cargo test` runs: small, in the profile of the tests, judged by the same judge. What a slow
//! machine can cause is printed and fails nothing: the machine is not known here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod judging;

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use system_tests::faults::bugs::{Bug, FAIL_POINTS, SEEDED};
use system_tests::faults::matrix::find;
use system_tests::faults::row::{self, Plan};
use testing::run;

/// One row at a time: each takes the whole machine.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs one row: nothing lost, doubled or early, and the fault hit something.
fn holds(fault: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = Plan { seed: 1, whistles: 180, rate: 6.0, binary: None };
    let row = run(row::run(find(fault).unwrap(), &plan)).unwrap();
    local::progress(&format!(
        "{fault}: healed after {} ms, latest {} ms, late: {:#?}",
        row.healed_ms, row.latest_ms, row.late
    ));
    assert!(row.violations.is_empty(), "{fault}: {:#?}", row.violations);
    assert_eq!(row.wrong, [0, 0, 0], "{fault}: lost, doubled, early");
    assert!(row.struck > 0, "{fault} struck nothing");
    assert_eq!(row.whistles, plan.whistles);
}

#[test]
fn processes_are_killed_at_random_and_nothing_is_lost_doubled_or_early() {
    holds("F1");
}

#[test]
fn the_store_of_jetstream_is_deleted_and_nothing_is_lost_doubled_or_early() {
    holds("F4");
}

#[test]
fn every_seeded_bug_applies_to_this_tree() {
    for Bug { name, patch, .. } in SEEDED.iter().chain([&FAIL_POINTS]) {
        let file = std::env::temp_dir().join(format!("{name}-{}.patch", std::process::id()));
        std::fs::write(&file, patch).unwrap();
        let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let applied = Command::new("git").args(["apply", "--check"]).arg(&file).current_dir(tree).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(applied.status.success(), "{name}: {}", String::from_utf8_lossy(&applied.stderr));
    }
}
