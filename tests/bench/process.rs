//! What processes have used, as /proc tells it.

use std::time::Duration;

use anyhow::Context as _;
use local::stack::Stack;

/// Clock ticks a second, as /proc counts them.
const TICKS: f64 = 100.0;

/// Seconds of a core that a process has used, with all its children, also those that have ended.
pub fn used(pid: u32) -> anyhow::Result<f64> {
    let mut used = fields(pid)?.own + fields(pid)?.ended;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may be gone by now.
        if let Ok(fields) = fields(child)
            && fields.parent == pid
        {
            used += fields.own;
        }
    }
    Ok(used)
}

/// Sends this signal to every service.
pub async fn all(stack: &Stack, signal: &str) {
    for replica in &stack.replicas {
        local::process::signal(signal, replica.pid()).await;
    }
}

/// Per cent of a core that these processes use for so long.
pub async fn share(pids: &[u32], time: Duration) -> anyhow::Result<f64> {
    let now = || pids.iter().map(|pid| used(*pid)).sum::<anyhow::Result<f64>>();
    let before = now()?;
    local::pause(time).await;
    Ok((now()? - before) / time.as_secs_f64() * 100.0)
}

/// MiB of memory that a process has.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is not there"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

struct Fields {
    parent: u32,
    own: f64,
    ended: f64,
}

fn fields(pid: u32) -> anyhow::Result<Fields> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is not there"))?;
    // The name may hold anything; what follows it does not.
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().map(|ticks| ticks / TICKS);
    Ok(Fields { parent: fields[1].parse()?, own: ticks(11)? + ticks(12)?, ended: ticks(13)? + ticks(14)? })
}
