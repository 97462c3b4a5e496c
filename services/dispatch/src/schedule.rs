//! The ladder loop. It needs no NATS: it sleeps until the next rung is due by Postgres's clock, is woken by this process's
//! own commits, and looks once a second for what other replicas created. A batch that fails is halved down to the one
//! assignment that is poisoned; that one is set aside for a while, loudly, and holds up nobody.
//!
//! Every replica runs it. The one that is first to what is due goes on being on time; one that keeps coming second stands back a
//! little, so that it takes no processor from the first at the very moment that counts, and is the first again when it then finds
//! something left to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::db::{Chain, Session};
use foundation::host::{Stop, pause};
use tokio::sync::watch;
use uuid::Uuid;

use crate::operations::ladder::Firing;
use crate::store::due;

/// What others created is found within this time.
const POLL: Duration = Duration::from_secs(1);
/// A due assignment that somebody else holds is tried again after this time.
const LOCKED: Duration = Duration::from_millis(10);
/// So often in a row a loop comes second before it stands back: a rung may also be gone because its unit answered.
const SECOND: u32 = 3;
/// And by this much.
const BACK: TimeDelta = TimeDelta::milliseconds(20);
/// How long a poisoned assignment is left alone.
const SET_ASIDE: Duration = Duration::from_secs(30);
const BATCH: i64 = 100;

/// Fires until told to stop.
pub async fn ladder(session: Session, stop: Stop) -> anyhow::Result<()> {
    let mut commits = session.db.commits();
    let firing = Firing::new(session);
    let mut ladder = Loop { firing, batch: BATCH, aside: BTreeMap::new(), failing: false, asked: false, second: 0 };
    let mut come = false;
    while !stop.requested() {
        // Before the pass: a commit during it must wake the next.
        commits.mark_unchanged();
        let wait = ladder.pass(come).await;
        come = tokio::select! {
            () = stop.wait() => false,
            // What was committed may be due sooner than all else; many commits are one reason to look.
            () = changed(&mut commits), if wait > LOCKED => false,
            () = pause(wait) => ladder.asked && !ladder.stands_back() && wait < POLL,
        };
    }
    Ok(())
}

async fn changed(commits: &mut watch::Receiver<u64>) {
    // Fails only when the database handle is gone, which the loop itself holds.
    let _ = commits.changed().await;
    pause(LOCKED).await;
}

struct Loop {
    firing: Firing,
    batch: i64,
    aside: BTreeMap<Uuid, Instant>,
    failing: bool,
    /// Whether the last pass ended with asking how long to wait.
    asked: bool,
    /// How often in a row nothing was left of what was due.
    second: u32,
}

impl Loop {
    /// Fires one batch if something is due; returns how long to wait before the next look. When the time has come that the last
    /// pass waited for, it fires without asking once more.
    async fn pass(&mut self, come: bool) -> Duration {
        self.aside.retain(|_, since| since.elapsed() < SET_ASIDE);
        let except: Vec<Uuid> = self.aside.keys().copied().collect();
        self.asked = !come;
        if !come {
            let until = self.until_next(&except).await;
            if !until.is_zero() {
                return until;
            }
            self.asked = false;
        }
        match self.firing.fire_due(self.batch, &except).await {
            Ok(taken) => {
                self.failing = false;
                self.batch = (self.batch * 2).min(BATCH);
                self.second = if taken > 0 { 0 } else { self.second.saturating_add(1) };
                if taken > 0 { Duration::ZERO } else { LOCKED }
            }
            Err(failed) => {
                // What passes by itself poisons nobody: only what stays is narrowed down.
                let stays = failed.error.stays();
                if stays {
                    self.halve(&failed.taken);
                }
                if !self.failing {
                    tracing::error!(error = %Chain(&failed), "rungs cannot be fired now; trying on");
                }
                self.failing = true;
                if stays && !failed.taken.is_empty() { Duration::ZERO } else { Duration::from_millis(200) }
            }
        }
    }

    fn stands_back(&self) -> bool {
        self.second >= SECOND
    }

    fn halve(&mut self, taken: &[Uuid]) {
        match taken {
            [] => {}
            [poisoned] => {
                tracing::error!(assignment = %poisoned, "this assignment's rung cannot be fired; it is set aside for 30 s");
                self.aside.insert(*poisoned, Instant::now());
            }
            several => self.batch = i64::try_from(several.len() / 2).unwrap_or(1).max(1),
        }
    }

    async fn until_next(&mut self, except: &[Uuid]) -> Duration {
        let session = &mut self.firing.session;
        let db = session.db.clone();
        let asked = async {
            let mut connection = session.take().await?;
            let until = due::until_next(&mut connection, except).await?;
            session.keep(connection);
            Ok::<_, sqlx::Error>(until)
        };
        match db.in_time(asked).await {
            Ok(None) => POLL,
            Ok(Some(until)) => {
                let until = if self.stands_back() { until + BACK } else { until };
                until.to_std().map_or(Duration::ZERO, |until| until.min(POLL))
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cannot ask what is due next");
                POLL / 5
            }
        }
    }
}
