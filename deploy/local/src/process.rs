//! Child processes that never outlive us, not even when we are killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Ends when the pipe to its keeper closes.
const KEEPER: &str = include_str!("keeper.sh");

/// How to start a child.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Shown in messages.
    pub name: String,
    /// What to run.
    pub program: PathBuf,
    /// With what.
    pub args: Vec<String>,
    /// Environment, beside ours.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Asks it to stop: TERM or INT.
    pub signal: &'static str,
    /// User and group to run as; ours when none.
    pub user: Option<(u32, u32)>,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    /// The child's own pid.
    pub pid: u32,
    keeper: tokio::sync::Mutex<Child>,
    /// Closing it asks the keeper to stop the child.
    stdin: ChildStdin,
}

impl Spec {
    /// Starts it.
    pub async fn start(&self) -> anyhow::Result<Process> {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&self.log).arg(self.signal).arg(&self.program).args(&self.args);
        command.envs(self.env.iter().cloned()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Its own group: Ctrl-C is ours alone, we stop children in their order.
        command.process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        let mut keeper = command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        let stdin = keeper.stdin.take().context("no pipe")?;
        let stdout = keeper.stdout.take().context("no pipe")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let pid = line.as_deref().unwrap_or_default().parse();
        let pid = pid.with_context(|| format!("cannot start {}", self.name))?;
        Ok(Process { pid, keeper: tokio::sync::Mutex::new(keeper), stdin })
    }
}

impl Process {
    /// Waits until it has ended.
    pub async fn ended(&self) -> anyhow::Result<ExitStatus> {
        Ok(self.keeper.lock().await.wait().await?)
    }

    /// Asks it to stop and waits; kills it when it does not.
    pub async fn stop(self) {
        drop(self.stdin);
        let mut keeper = self.keeper.into_inner();
        if tokio::time::timeout(Duration::from_secs(25), keeper.wait()).await.is_err() {
            signal("KILL", self.pid).await;
            // It is gone or it never was; either way there is nothing left to wait for.
            let _ = keeper.wait().await;
        }
    }
}

/// Sends a signal to a process that we started; to nobody when it is 0, which means one that is not there, but to `kill` us and ours.
pub async fn signal(name: &str, pid: u32) {
    if pid == 0 {
        return;
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>/dev/null")]).status().await;
    if let Err(error) = sent {
        eprintln!("cannot signal {pid}: {error}");
    }
}

/// A port on the loopback address that nobody uses now, and that this process has not been given before: who got it may not listen
/// yet, or be dead and about to start again. Below those that the system gives to outgoing connections, which would take it meanwhile.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = 10_000 + rand::random::<u16>() % 20_000;
        if given.insert(port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between 10000 and 30000 on 127.0.0.1")
}

/// The end of a log file, for a message.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
