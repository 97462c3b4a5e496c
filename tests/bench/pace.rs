//! Work at a steady rate, whether or not what was begun before has ended: whoever waits is not spared by being asked less.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::report::Times;

/// Begins the work so many times a second; how many milliseconds after it was due each ended. The work is told when it was due.
pub async fn steadily<F, W>(rate: f64, time: Duration, work: F) -> anyhow::Result<Times>
where
    F: Fn(Instant) -> W,
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (began, mut tasks) = (tokio::time::Instant::now(), JoinSet::new());
    for turn in 0.. {
        let due = began + Duration::from_secs_f64(f64::from(turn) / rate);
        if due - began > time {
            break;
        }
        tokio::time::sleep_until(due).await;
        let work = work(due.into_std());
        tasks.spawn(async move { work.await.map(|()| due.elapsed().as_secs_f64() * 1000.0) });
    }
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.push(ended??);
    }
    Ok(Times::of(times))
}
