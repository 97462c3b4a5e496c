//! What the driver did and was told. The services under test write none of it.

use chrono::{DateTime, TimeDelta, Utc};
use local::verdict::Step;
use uuid::Uuid;

/// Everything that one run's judgement stands on, but for what the stand-ins received.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every whistle that was acknowledged.
    pub whistles: Vec<Whistle>,
    /// What answers contradicted: the driver's own findings (repeated calls, refusals that should not be).
    pub complaints: Vec<String>,
    /// Every call that was made.
    pub calls: Vec<Call>,
    /// What could not be played to its end.
    pub unresolved: Vec<String>,
    /// Cases that the driver, as the centre, released, and from when on.
    pub released: Vec<(Uuid, DateTime<Utc>)>,
}

/// One request id, and every attempt at it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method, and what it was about.
    pub what: String,
    /// In the order in which they were begun.
    pub attempts: Vec<Attempt>,
}

impl Call {
    /// Whether it was done before the attempt began that was answered.
    pub fn done_unanswered(&self) -> bool {
        let answered = self.attempts.iter().find_map(|attempt| match attempt.outcome {
            Outcome::Ok(done) => Some((attempt.invoked, done)),
            Outcome::Fail | Outcome::Unknown => None,
        });
        answered.is_some_and(|(invoked, done)| done.is_some_and(|done| done < invoked))
    }
}

/// What one client saw of it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When it was begun.
    pub invoked: DateTime<Utc>,
    /// When it was answered, or given up.
    pub returned: DateTime<Utc>,
    /// What it came to.
    pub outcome: Outcome,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, at the time that the answer tells, when it tells one.
    Ok(Option<DateTime<Utc>>),
    /// Refused for good.
    Fail,
    /// The client went away, or was told to try again: it may have been done.
    Unknown,
}

/// An acknowledged whistle.
#[derive(Debug, Clone)]
pub struct Whistle {
    /// Its id.
    pub id: Uuid,
    /// T0, from BlowWhistle's answer.
    pub blown_at: DateTime<Utc>,
    /// One for each unit.
    pub assignments: Vec<Assignment>,
    /// Every assignment was handed in and confirmed, as acknowledged.
    pub closed: bool,
    /// It was withdrawn, as acknowledged.
    pub withdrawn: bool,
}

/// A unit's assignment.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Its id.
    pub id: Uuid,
    /// Its answer ladder.
    pub ladder: Uuid,
    /// Its unit's number among the people.
    pub unit: usize,
    /// When the ladder stopped, as an acknowledged answer or withdrawal said; none while it runs.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Whether it was handed in, as acknowledged.
    pub handed_in: bool,
    /// Whether the street confirmed it, as acknowledged.
    pub confirmed: bool,
    /// Whether the street withdraws its whistle: only then may the unit be refused.
    pub withdrawn: bool,
}

/// When a fault struck.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Until then.
    pub ended: DateTime<Utc>,
    /// How long healing may take after that.
    pub heals: TimeDelta,
}

impl Window {
    /// Whether what was due then and came, or may come, then may have been delayed by it.
    pub fn touches(&self, due: DateTime<Utc>, came: DateTime<Utc>) -> bool {
        due <= self.ended + self.heals && came >= self.from
    }
}

/// Lateness above this outside of a fault's window fails.
const LATE: TimeDelta = TimeDelta::seconds(5);

/// The faults that delay what was due then, in the order in which they struck: the first struck before it was late, each further one
/// before the last had healed.
pub fn delaying(due: DateTime<Utc>, windows: &[Window]) -> Vec<Window> {
    let (mut chain, mut by) = (Vec::new(), due + LATE);
    for window in windows {
        if window.touches(due, by) {
            by = window.ended + window.heals;
            chain.push(*window);
        }
    }
    chain
}

/// Until when what was due then must have come.
pub fn latest(due: DateTime<Utc>, windows: &[Window]) -> DateTime<Utc> {
    delaying(due, windows).last().map_or(due, |window| window.ended + window.heals) + LATE
}

/// The ladder that the run loaded.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// Its steps.
    pub steps: Vec<Step>,
    /// A reminder later than this is checked before it leaves.
    pub check_after: TimeDelta,
    /// A push later than this waits for the centre.
    pub fault_after: TimeDelta,
}
