//! Haiqu on one machine: private Postgres and NATS, every service as its own process, stand-ins for the outside world.
//! `cargo demo` plays the main job and judges it; `cargo up` keeps everything running. Tests stand on the same parts.

pub mod demo;
pub mod issuer;
pub mod people;
pub mod prepare;
pub mod process;
pub mod scenario;
pub mod servers;
pub mod stack;
pub mod stand_ins;
pub mod tools;
pub mod up;
pub mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

/// The folder of built programs that this one lies in, for example `target/debug`.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().context("no folder")? } else { folder };
    Ok(folder.to_owned())
}

/// Says on standard error what takes its time.
pub fn progress(what: &str) {
    eprintln!("· {what}");
}

/// This host's clock: what the stand-ins, which know no Postgres, write down.
#[expect(
    clippy::disallowed_methods,
    reason = "stand-ins and drivers are outside of Haiqu and have clocks of their own"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "drivers and stand-ins play people, who wait")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
