//! Time is Postgres's. Hosts' clocks only wake; no decision is made on them, but one: whether to believe Postgres's.
//!
//! A clock that jumps would fire every ladder at once, or stop them all, and write times that nobody can take back. So each process
//! keeps an eye on it: between two readings Postgres's clock must have gone on by as much as the host's steady one. Where it has not,
//! every reading fails (commands are refused and may be repeated, rungs wait), and ops is alarmed; until ops, having looked,
//! confirms the clock (HoldService.ConfirmClock), whatever it shows by then.
//!
//! A host that stood still (a virtual machine that is moved, or saved) sees the same, and is alone with it: any process that saw the
//! clock go steadily all the while lifts the doubt by itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use sqlx::PgConnection;

use super::db::Db;
use crate::base::stop::pause;
use crate::base::{Chain, Stop, Timestamp};

/// How often the clock is looked at.
const LOOKS: Duration = Duration::from_millis(500);
/// What clocks may go apart between two looks. NTP slews less, and steps on a running server are what this is about.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// What this process knows of the clock.
static KNOWN: Mutex<Known> = Mutex::new(Known { steady: None, doubted: false, releases: None });

struct Known {
    steady: Option<Steady>,
    doubted: bool,
    /// How often a doubt was taken away, as far as this process has seen.
    releases: Option<i64>,
}

/// Readings that went with the host's steady clock, each with the one before.
#[derive(Debug, Clone, Copy)]
struct Steady {
    /// Since when without a gap; never, for whoever saw a jump itself.
    since: Timestamp,
    last: Reading,
}

/// A longer time between two readings is a gap, in which the clock may have gone anywhere and come back.
const GAP: Duration = Duration::from_secs(2);
/// How long before a jump a witness must have begun: longer than it takes to notice and to record one.
const BEFORE: TimeDelta = TimeDelta::seconds(5);

/// Somebody saw the clock jump from one instant to the other.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    from: Timestamp,
    to: Timestamp,
}

impl Steady {
    /// Whether these readings began before what is doubted and go on after it. Pure.
    fn refutes(self, doubt: Doubt) -> bool {
        self.since <= doubt.from.min(doubt.to) - BEFORE && doubt.from.max(doubt.to) <= self.last.shown
    }
}

/// What Postgres's clock showed, between two instants of the host's.
#[derive(Debug, Clone, Copy)]
struct Reading {
    before: Instant,
    shown: Timestamp,
    after: Instant,
}

/// By how much the clock has jumped from one reading to the next, beyond what the time between them explains. Pure.
fn jump(from: Reading, to: Reading) -> Option<TimeDelta> {
    let span = |time: Duration| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    let (least, most) = (span(to.before.duration_since(from.after)), span(to.after.duration_since(from.before)));
    let passed = to.shown - from.shown;
    if passed > most + TOLERANCE {
        Some(passed - most)
    } else if passed < least - TOLERANCE {
        Some(passed - least)
    } else {
        None
    }
}

/// The clock is not to be believed now.
#[derive(Debug, thiserror::Error)]
#[error("Postgres's clock has jumped: nothing is done by it until ops confirms it (HoldService.ConfirmClock)")]
struct Jumped;

fn not_believed() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(Jumped))
}

fn known() -> std::sync::MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(tx: &mut PgConnection) -> sqlx::Result<Reading> {
    let before = Instant::now();
    let shown = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx).await?;
    Ok(Reading { before, shown, after: Instant::now() })
}

/// What Postgres's clock says now. Read it after the row lock, so that it orders what the lock orders. Fails as long as the clock is
/// not to be believed.
pub async fn now(tx: &mut PgConnection) -> sqlx::Result<Timestamp> {
    believed(read(tx).await?)
}

/// The same for what a statement showed that did something else too, and was begun at that instant.
pub fn believe(before: Instant, shown: Timestamp) -> sqlx::Result<Timestamp> {
    believed(Reading { before, shown, after: Instant::now() })
}

fn believed(reading: Reading) -> sqlx::Result<Timestamp> {
    let known = known();
    let jumped = known.steady.is_some_and(|steady| jump(steady.last, reading).is_some());
    if jumped || known.doubted { Err(not_believed()) } else { Ok(reading.shown) }
}

/// Looks for the first time: nothing may be done before this process knows whether others doubt the clock.
pub(crate) async fn begin(db: &Db) {
    while let Err(error) = db.in_time(look(db)).await {
        tracing::warn!(error = %Chain(&error), "waiting for the database");
        pause(LOOKS).await;
    }
}

/// Watches the clock until told to stop.
pub(crate) async fn watch(db: Db, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        if let Err(error) = db.in_time(look(&db)).await {
            tracing::debug!(error = %Chain(&error), "the clock cannot be looked at now");
        }
        stop.pause(LOOKS).await;
    }
    Ok(())
}

async fn look(db: &Db) -> sqlx::Result<()> {
    let mut connection = db.work().acquire().await?;
    let head = sqlx::query!("select clock_doubted_at, clock_right_until, clock_releases from log_head");
    let head = head.fetch_one(&mut *connection).await?;
    let doubt = head.clock_doubted_at.zip(head.clock_right_until).map(|(to, from)| Doubt { from, to });
    let reading = read(&mut connection).await?;
    let seen = known().look(doubt, head.clock_releases, reading);
    match seen {
        Seen::Nothing => {}
        Seen::Jump { by, from } => {
            tracing::error!(
                by_ms = by.num_milliseconds(),
                "Postgres's clock has jumped: rungs wait until ops confirms it"
            );
            sqlx::query!(
                "update log_head set clock_doubted_at = clock_timestamp(), clock_right_until = $1
                 where clock_doubted_at is null",
                from
            )
            .execute(&mut *connection)
            .await?;
        }
        Seen::Steady(doubt) => {
            let lifted = sqlx::query!(
                "update log_head set clock_doubted_at = null, clock_right_until = null, clock_releases = clock_releases + 1
                 where clock_doubted_at = $1",
                doubt.to
            );
            if lifted.execute(&mut *connection).await?.rows_affected() == 1 {
                tracing::warn!("Postgres's clock has not jumped: the host that thought so had stood still");
            }
        }
    }
    Ok(())
}

/// What a look shows.
enum Seen {
    Nothing,
    /// It has jumped since it was right.
    Jump {
        by: TimeDelta,
        from: Timestamp,
    },
    /// It has not, whoever thought so.
    Steady(Doubt),
}

impl Known {
    fn look(&mut self, doubt: Option<Doubt>, releases: i64, reading: Reading) -> Seen {
        let released = self.releases.replace(releases).is_some_and(|known| known != releases);
        let jumped = self.steady.and_then(|steady| Some((jump(steady.last, reading)?, steady.last.shown)));
        if let (Some(steady), Some((by, from)), false) = (&mut self.steady, jumped, released) {
            steady.since = Timestamp::MAX_UTC;
            self.doubted = true;
            return if doubt.is_some() { Seen::Nothing } else { Seen::Jump { by, from } };
        }
        self.doubted = doubt.is_some();
        let steady = Steady { since: self.since(jumped.is_some(), released, reading), last: reading };
        self.steady = Some(steady);
        match doubt.filter(|doubt| steady.refutes(*doubt)) {
            Some(doubt) => Seen::Steady(doubt),
            None => Seen::Nothing,
        }
    }

    /// Since when this process can bear witness, with this reading.
    fn since(&self, jumped: bool, released: bool, reading: Reading) -> Timestamp {
        match self.steady {
            // Whoever saw a jump is no witness until it is released.
            Some(steady) if steady.since == Timestamp::MAX_UTC && !released => steady.since,
            Some(steady) if !jumped && reading.before.duration_since(steady.last.after) <= GAP => {
                steady.since.min(reading.shown)
            }
            _ => reading.shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn reading(from: Instant, steady: u64, shown: i64) -> Reading {
        let before = from + Duration::from_millis(steady);
        Reading {
            before,
            shown: DateTime::UNIX_EPOCH + TimeDelta::milliseconds(shown),
            after: before + Duration::from_millis(1),
        }
    }

    #[test]
    fn a_clock_that_goes_with_the_steady_one_is_believed_and_one_that_jumps_is_not() {
        let begun = Instant::now();
        let last = reading(begun, 0, 0);
        assert_eq!(jump(last, reading(begun, 500, 500)), None);
        assert_eq!(jump(last, reading(begun, 500, 2_400)), None, "within what clocks may go apart");
        assert!(jump(last, reading(begun, 500, 2_600)).is_some_and(|by| by > TimeDelta::zero()));
        assert!(jump(last, reading(begun, 500, -1_600)).is_some_and(|by| by < TimeDelta::zero()));
    }

    fn fresh() -> Known {
        Known { steady: None, doubted: false, releases: None }
    }

    /// A process that has looked twice a second from the first of these seconds to the last.
    fn watched(begun: Instant, from: u64, until: u64) -> Known {
        let mut known = fresh();
        for half in from * 2..=until * 2 {
            let shown = i64::try_from(half).unwrap() * 500;
            assert!(matches!(known.look(None, 0, reading(begun, half * 500, shown)), Seen::Nothing));
        }
        known
    }

    #[test]
    fn what_only_a_sleeper_saw_is_lifted_by_whoever_was_awake() {
        let begun = Instant::now();
        let (mut awake, mut sleeper) = (watched(begun, 0, 70), watched(begun, 0, 10));
        // The sleeper's own clock stood still for a minute.
        let Seen::Jump { from, .. } = sleeper.look(None, 0, reading(begun, 10_500, 70_500)) else { panic!("a jump") };
        let doubt = Doubt { from, to: reading(begun, 0, 70_500).shown };
        assert!(matches!(watched(begun, 8, 70).look(Some(doubt), 0, reading(begun, 71_000, 71_000)), Seen::Nothing));
        assert!(matches!(awake.look(Some(doubt), 0, reading(begun, 71_000, 71_000)), Seen::Steady(_)));
        assert!(matches!(sleeper.look(None, 1, reading(begun, 11_500, 71_500)), Seen::Nothing));
        assert!(!sleeper.doubted);
    }

    #[test]
    fn a_jump_stays_until_ops_releases_it_though_the_clock_comes_back_or_a_process_starts() {
        let begun = Instant::now();
        let (mut saw, mut asleep) = (watched(begun, 0, 10), watched(begun, 0, 10));
        let Seen::Jump { from, .. } = saw.look(None, 0, reading(begun, 10_500, -49_500)) else { panic!("a jump") };
        let doubt = Doubt { from, to: reading(begun, 0, -49_500).shown };
        // Put right: whoever saw it, slept meanwhile or has just started is no witness.
        for known in [&mut saw, &mut asleep, &mut watched(begun, 11, 30), &mut fresh()] {
            assert!(matches!(known.look(Some(doubt), 0, reading(begun, 90_000, 90_000)), Seen::Nothing));
            assert!(known.doubted);
        }
        // Released, whatever it shows by then.
        for known in [&mut saw, &mut asleep] {
            assert!(matches!(known.look(None, 1, reading(begun, 90_500, 500_000)), Seen::Nothing));
            assert!(!known.doubted, "ops has confirmed that it is right");
            assert!(matches!(known.look(None, 1, reading(begun, 91_000, 500_500)), Seen::Nothing));
        }
        // One that slept through the doubt and its release does not doubt anew.
        let mut slept = watched(begun, 0, 10);
        assert!(matches!(slept.look(None, 1, reading(begun, 91_500, 501_000)), Seen::Nothing));
        assert!(!slept.doubted);
    }

    #[test]
    fn a_process_that_slept_for_an_hour_believes_a_clock_that_went_on() {
        let begun = Instant::now();
        assert_eq!(jump(reading(begun, 0, 0), reading(begun, 3_600_000, 3_600_000)), None);
    }
}
