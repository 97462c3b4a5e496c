//! Ending, and waiting.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// No loop idles longer because it was slow.
const LONGEST_IDLE: Duration = Duration::from_millis(25);

/// Tells a task to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Not requested yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks everything that holds this to end.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Ends when the task shall.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Whether the task shall end.
    pub fn requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for this time, or until the task shall end.
    pub async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.wait() => {}
            () = pause(time) => {}
        }
    }
}

/// Waits. A loop that may be stopped meanwhile uses [`Stop::pause`].
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Idles between two passes of a loop for as long as the last one took, and for a time at least: what comes meanwhile is done in one
/// batch, for a fraction of the work; the busier the machine, the more so.
pub async fn idle(began: Instant, least: Duration) {
    pause(began.elapsed().clamp(least, least.max(LONGEST_IDLE))).await;
}
