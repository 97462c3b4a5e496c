//! The ladder loop. It needs no NATS: it sleeps until the next rung is due by Postgres's clock, is woken by this process's
//! own commits, and looks once a second for what other replicas created. A batch that fails is halved down to the one
//! assignment that is poisoned; that one is set aside for a while, loudly, and holds up nobody.
//!
//! Its commits do not wait for the disk: a rung that a crash of the server unfires is due, and fires again, and nobody outside has
//! learned of it, since the relay's commit, which numbers its event, waits for both.
//!
//! Every replica runs it. The one that is first to what is due goes on being on time; one that keeps coming second backs off
//! a little, so that it takes no processor from the first at the very moment that counts, and is the first again when it then finds
//! something left to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::base::stop::pause;
use foundation::base::{Chain, Context};
use foundation::data::Session;
use foundation::host::Tick;
use futures::future::join_all;
use sqlx::Connection as _;
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::Error;
use crate::operations::ladder::{Policies, run_many, until_next};

/// What others created is found within this time.
const POLL: Duration = Duration::from_secs(1);
/// A due assignment that somebody else holds is tried again after this time.
const LOCKED: Duration = Duration::from_millis(10);
/// At so many times in a row a loop comes second before it backs off: a rung may also be gone because its unit answered.
const TIMES_SECOND: u32 = 3;
/// And by this much.
const BACKS_OFF_BY: TimeDelta = TimeDelta::milliseconds(20);
/// How long a poisoned assignment is left alone.
const SET_ASIDE_FOR: Duration = Duration::from_secs(30);
const BATCH: i64 = 100;
/// Connections that fire side by side when more is due than one takes.
pub const FIRING: usize = 3;

/// A batch that could not be fired, and what was in it.
#[derive(Debug, thiserror::Error)]
#[error("{} assignments could not be fired", taken.len())]
pub struct Failed {
    /// The assignments that had been taken.
    pub taken: Vec<Uuid>,
    /// Why.
    #[source]
    pub error: Error,
}

/// Fires what is due, on a connection of its own, with the policies that it has met.
#[derive(Debug)]
pub struct Firing {
    session: Session,
    context: Context,
    policies: Policies,
}

impl Firing {
    /// In the clock's name.
    pub fn new(session: Session, context: &Context) -> Firing {
        Firing { session, context: context.clone(), policies: Policies::new() }
    }

    /// Fires the due rungs of up to `limit` assignments; returns how many it took.
    pub async fn fire_due(&mut self, limit: i64, except: &[Uuid]) -> Result<usize, Failed> {
        let (mut taken, db) = (Vec::new(), self.session.db.clone());
        match db.in_time(self.batch(limit, except, &mut taken)).await {
            Ok(()) => Ok(taken.len()),
            Err(error) => Err(Failed { taken, error }),
        }
    }

    async fn batch(&mut self, limit: i64, except: &[Uuid], taken: &mut Vec<Uuid>) -> Result<(), Error> {
        let mut connection = self.session.take().await?;
        let mut tx = connection.begin().await?;
        run_many(&mut tx, &self.context, (limit, except), &mut self.policies, taken).await?;
        tx.commit().await?;
        self.session.keep(connection);
        if !taken.is_empty() {
            self.session.db.committed();
        }
        Ok(())
    }
}

/// Fires until told to stop.
pub async fn ladder(sessions: [Session; FIRING], tick: Tick) -> anyhow::Result<()> {
    let (stop, mut commits) = (tick.stop.clone(), sessions[0].db.commits());
    let firing = sessions.map(|session| Firing::new(session, tick.context()));
    let mut ladder =
        Loop { firing, batch: BATCH, aside: BTreeMap::new(), failing: false, behind: false, second: 0, met: false };
    let mut due = false;
    while !stop.requested() {
        // Before the pass: a commit during it must wake the next.
        commits.mark_unchanged();
        let next = ladder.pass(due).await;
        if next.wait.is_zero() {
            due = next.due;
            continue;
        }
        due = tokio::select! {
            () = stop.wait() => false,
            // What was committed may be due sooner than all else; many commits are one reason to look.
            () = changed(&mut commits), if next.wait > LOCKED => false,
            () = pause(next.wait) => next.due,
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
    firing: [Firing; FIRING],
    batch: i64,
    aside: BTreeMap<Uuid, Instant>,
    failing: bool,
    /// More was due than one pass took.
    behind: bool,
    /// At how many times in a row nothing was left of what was due.
    second: u32,
    /// Whether it has been here at this time already: to try again is not to come second again.
    met: bool,
}

/// When to look again, and whether something is due then without asking.
struct Next {
    wait: Duration,
    due: bool,
}

impl Loop {
    /// Fires what is due, if something is.
    async fn pass(&mut self, due: bool) -> Next {
        self.aside.retain(|_, since| since.elapsed() < SET_ASIDE_FOR);
        let except: Vec<Uuid> = self.aside.keys().copied().collect();
        if !due && let Some(next) = self.until_next(&except).await {
            self.met = false;
            return next;
        }
        match self.fire(&except).await {
            Ok(taken) => {
                self.failing = false;
                self.batch = (self.batch * 2).min(BATCH);
                self.second = if taken > 0 { 0 } else { self.second.saturating_add(u32::from(!self.met)) };
                self.met = true;
                Next { wait: if taken > 0 { Duration::ZERO } else { LOCKED }, due: self.behind }
            }
            Err(failed) => {
                // What is transient poisons nobody: only what is permanent is narrowed down.
                let permanent = failed.error.is_permanent();
                if permanent {
                    self.halve(&failed.taken);
                }
                if !self.failing {
                    tracing::error!(error = %Chain(&failed), "rungs cannot be fired now; trying on");
                }
                self.failing = true;
                let at_once = permanent && !failed.taken.is_empty();
                Next { wait: if at_once { Duration::ZERO } else { Duration::from_millis(200) }, due: at_once }
            }
        }
    }

    /// Fires one batch; several side by side when the last was full, for one alone leaves the server waiting for us, and us for it.
    async fn fire(&mut self, except: &[Uuid]) -> Result<usize, Failed> {
        let batch = self.batch;
        let side_by_side = if std::mem::take(&mut self.behind) { FIRING } else { 1 };
        let fired = self.firing.iter_mut().take(side_by_side).map(|one| one.fire_due(batch, except));
        let (mut taken, mut transient) = (0, None);
        for fired in join_all(fired).await {
            match fired {
                Ok(more) => taken += more,
                Err(failed) if failed.error.is_permanent() => return Err(failed),
                Err(failed) => transient = Some(failed),
            }
        }
        match transient {
            Some(failed) if taken == 0 => return Err(failed),
            Some(failed) => tracing::debug!(error = %Chain(&failed), "not every connection has fired something"),
            None => {}
        }
        self.behind = taken == side_by_side * usize::try_from(batch).unwrap_or(usize::MAX);
        Ok(taken)
    }

    fn backs_off(&self) -> bool {
        self.second >= TIMES_SECOND
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

    /// When the next rung is due; none when one is.
    async fn until_next(&mut self, except: &[Uuid]) -> Option<Next> {
        let session = &mut self.firing[0].session;
        let db = session.db.clone();
        let asked = async {
            let mut connection = session.take().await?;
            let until = until_next(&mut connection, except).await?;
            session.keep(connection);
            Ok::<_, sqlx::Error>(until)
        };
        match db.in_time(asked).await {
            Ok(None) => Some(Next { wait: POLL, due: false }),
            Ok(Some(until)) => {
                let until = if self.backs_off() { until + BACKS_OFF_BY } else { until };
                let wait = until.to_std().ok().filter(|wait| !wait.is_zero())?;
                Some(Next { wait: wait.min(POLL), due: wait < POLL && !self.backs_off() })
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cannot ask what is due next");
                Some(Next { wait: POLL / 5, due: false })
            }
        }
    }
}
