//! Time is Postgres's. Hosts' clocks only wake; no decision is made on them, but one: whether to believe Postgres's.
//!
//! A clock that jumps would fire every ladder at once, or stop them all, and write times that nobody can take back. So each process
//! keeps an eye on it: between two readings Postgres's clock must have gone on by as much as the host's steady one. Where it has not,
//! every reading fails (commands are refused and may be repeated, rungs wait), and ops is alarmed; until ops, having looked, says
//! that the clock is right, whatever it shows by then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::db::{Chain, Db};
use crate::host::{self, Stop};

/// An instant, always UTC.
pub type Timestamp = DateTime<Utc>;

/// How often the clock is looked at.
const LOOKS: Duration = Duration::from_millis(500);
/// What clocks may go apart between two looks. NTP slews less, and steps on a running server are what this is about.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// What this process knows of the clock.
static KNOWN: Mutex<Known> = Mutex::new(Known { last: None, doubted: false, recorded: false });

struct Known {
    last: Option<Reading>,
    doubted: bool,
    /// The doubt stands in the database, where ops sees it and takes it away.
    recorded: bool,
}

/// What Postgres's clock said, between two instants of the host's.
#[derive(Debug, Clone, Copy)]
struct Reading {
    before: Instant,
    said: Timestamp,
    after: Instant,
}

/// By how much the clock has jumped from one reading to the next, beyond what the time between them explains. Pure.
fn jump(from: Reading, to: Reading) -> Option<TimeDelta> {
    let span = |time: Duration| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    let (least, most) = (span(to.before.duration_since(from.after)), span(to.after.duration_since(from.before)));
    let passed = to.said - from.said;
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
#[error("Postgres's clock has jumped: nothing is done by it until ops says that it is right (HoldService)")]
struct Jumped;

fn not_believed() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(Jumped))
}

fn known() -> std::sync::MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(tx: &mut PgConnection) -> sqlx::Result<Reading> {
    let before = Instant::now();
    let said = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx).await?;
    Ok(Reading { before, said, after: Instant::now() })
}

/// What Postgres's clock says now. Read it after the row lock, so that it orders what the lock orders. Fails as long as the clock is
/// not to be believed.
pub async fn now(tx: &mut PgConnection) -> sqlx::Result<Timestamp> {
    let reading = read(tx).await?;
    let known = known();
    let jumped = known.last.is_some_and(|last| jump(last, reading).is_some());
    if jumped || known.doubted { Err(not_believed()) } else { Ok(reading.said) }
}

/// Watches the clock until told to stop.
pub(crate) async fn watch(db: Db, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        if let Err(error) = db.in_time(look(&db)).await {
            tracing::debug!(error = %Chain(&error), "the clock cannot be looked at now");
        }
        tokio::select! {
            () = stop.wait() => {}
            () = host::pause(LOOKS) => {}
        }
    }
    Ok(())
}

async fn look(db: &Db) -> sqlx::Result<()> {
    let mut connection = db.work.acquire().await?;
    let doubted = sqlx::query_scalar!(r#"select clock_doubted_at is not null as "doubted!" from log_head"#);
    let doubted = doubted.fetch_one(&mut *connection).await?;
    let reading = read(&mut connection).await?;
    let jumped = {
        let mut known = known();
        let released = known.recorded && !doubted;
        let jumped = known.last.filter(|_| !released && !doubted).and_then(|last| jump(last, reading));
        known.recorded = doubted;
        known.doubted = doubted || jumped.is_some();
        if !known.doubted {
            known.last = Some(reading);
        }
        jumped
    };
    if let Some(by) = jumped {
        tracing::error!(
            by_ms = by.num_milliseconds(),
            "Postgres's clock has jumped: rungs wait until ops says that it is right"
        );
        sqlx::query!("update log_head set clock_doubted_at = clock_timestamp() where clock_doubted_at is null")
            .execute(&mut *connection)
            .await?;
        known().recorded = true;
    }
    Ok(())
}

/// The instant as a person in the district reads it: `11月23日 16:05`.
pub fn shown(at: Timestamp) -> String {
    at.with_timezone(&shanghai()).format("%-m月%-d日 %H:%M").to_string()
}

fn shanghai() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600)
        .unwrap_or(FixedOffset::east_opt(0).unwrap_or_else(|| unreachable!("zero is an offset")))
}

/// The instant on the wire.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

/// The instant from the wire; none when it is out of range.
pub fn from_wire(at: &prost_types::Timestamp) -> Option<Timestamp> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(from: Instant, steady: u64, said: i64) -> Reading {
        let before = from + Duration::from_millis(steady);
        Reading {
            before,
            said: DateTime::UNIX_EPOCH + TimeDelta::milliseconds(said),
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

    #[test]
    fn a_process_that_slept_for_an_hour_believes_a_clock_that_went_on() {
        let begun = Instant::now();
        assert_eq!(jump(reading(begun, 0, 0), reading(begun, 3_600_000, 3_600_000)), None);
    }
}
