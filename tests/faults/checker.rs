//! The judge. It reads the driver's history, the stand-ins' logs and, only where nothing else can tell, the databases after
//! healing; it recomputes what had to happen from T0 and the policy, and names every difference with its whistle, rung and
//! times. The invariants:
//!
//! - I1 a ladder has every rung due by its stop and no other; I2 each effect once; I3 none before its due time;
//! - I4 none over 5 s late outside of a fault; I5 no late reminder to a unit that has answered, no late push without release;
//! - I6 what is superseded had a reason; I7 what was acknowledged is there; I8 a repeated call has one answer and effect;
//! - I9 every inbox holds every event; I10 no older version over a newer; I12 no session idle in a transaction over 5 s;
//! - I13 what is closed in every assignment is closed; and no process dies but those that were killed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use local::stand_ins::{Kind, Seen};
use uuid::Uuid;

use super::due::{Due, every, expected, fallbacks};
use super::history::{Attempt, Call, History, Ladder, Outcome, Window, delaying, latest};
use super::people::phone;

/// Between the last look at the answer and the message's arrival at the gateway.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(4);

/// What the run gave the judge beside the history.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What the stand-ins received, in order of time.
    pub seen: Vec<Seen>,
    /// Effects at which an outside system answered ambiguously (timed out, or failed): they may be given to it again.
    pub ambiguous: HashSet<Uuid>,
    /// Reminders that the database records as superseded.
    pub superseded: HashSet<Uuid>,
    /// Pushes that 阳光+ turned away, and when first: what is late after that is the receiver's delay.
    pub turned_away: HashMap<Uuid, DateTime<Utc>>,
    /// When faults struck, in order.
    pub windows: Vec<Window>,
    /// When call tasks were open for the desk, as the database says: the desk comes for them when it likes.
    pub opened: HashMap<Uuid, DateTime<Utc>>,
    /// Messages that the gateway took over and could not deliver.
    pub undeliverable: HashSet<Uuid>,
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I13`; `alive` for a process that died and nobody killed it.
    pub invariant: &'static str,
    /// What is wrong, with whistle, rung and times.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl Violation {
    /// Whether a machine that is only slow can cause it: the matrix, which knows its machine, judges it; a test does not.
    pub fn by_the_clock(&self) -> bool {
        ["I4", "I5", "I12"].contains(&self.invariant)
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Effects that had to leave the house.
    pub effects: usize,
    /// Of them, not received.
    pub lost: usize,
    /// Received more than once without an ambiguous answer in between.
    pub doubled: usize,
    /// Received before they were due.
    pub early: usize,
    /// How late each reminder and push was received, and each call task opened, outside of fault windows, in order.
    pub lateness: Vec<TimeDelta>,
    /// How late the latest of all was.
    pub latest: TimeDelta,
    /// From the end of a fault until the last thing arrived that was due by then.
    pub healed: TimeDelta,
    /// That last thing.
    pub last: String,
    /// Everything that does not hold, first whistle first.
    pub violations: Vec<Violation>,
}

impl Judgement {
    pub(super) fn violate(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, what });
    }
}

/// A percentile of times in order.
pub fn percentile(times: &[TimeDelta], percent: usize) -> TimeDelta {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Decides.
pub fn judge(history: &History, ladder: &Ladder, evidence: &Evidence) -> Judgement {
    let mut found = Judgement::default();
    let mut due = expected(history, ladder);
    let mut received: HashMap<Uuid, Vec<&Seen>> = HashMap::new();
    for seen in evidence.seen.iter().filter(|seen| leaves(seen.kind)) {
        received.entry(seen.id.parse().unwrap_or_default()).or_default().push(seen);
    }
    due.extend(fallbacks(&due, &received, &evidence.undeliverable));
    found.effects = due.len();
    let by_id: HashSet<Uuid> = due.iter().map(|one| one.id).collect();
    for one in &due {
        match received.get(&one.id).map(Vec::as_slice) {
            None | Some([]) => missing(&mut found, one, &due, ladder, evidence),
            Some(seen) => arrived(&mut found, one, seen, history, ladder, evidence),
        }
    }
    let unasked: HashMap<_, _> = received.iter().filter(|(id, _)| !by_id.contains(id)).collect();
    let named: HashMap<Uuid, String> = match unasked.is_empty() {
        true => HashMap::new(),
        false => every(history, ladder).map(|one| (one.id, one.named())).collect(),
    };
    for (id, seen) in unasked {
        let whose = named.get(id).map_or("of no rung of any whistle", String::as_str);
        let (kind, to, at) = (seen[0].kind, &seen[0].to, seen[0].at);
        found.violate("I1", format!("{kind:?} {id} left for {to} at {at} and was not asked for: {whose}"));
    }
    for complaint in &history.complaints {
        found.violate("I8", complaint.clone());
    }
    for play in &history.unresolved {
        found.violate("I7", format!("not played to its end: {play}"));
    }
    for call in &history.calls {
        called(&mut found, call);
    }
    found.lateness.sort();
    found
}

/// Whatever was attempted came to an end, and what was done was done between the first attempt and the answer.
fn called(found: &mut Judgement, call: &Call) {
    let invoked = call.attempts.first().map_or(DateTime::UNIX_EPOCH, |first| first.invoked);
    let known = |attempt: &&Attempt| attempt.outcome != Outcome::Unknown;
    let Some(first) = call.attempts.iter().find(known) else {
        return found.violate("I7", format!("{}, called at {invoked}, never had an answer", call.what));
    };
    match first.outcome {
        Outcome::Ok(Some(done)) if done < invoked || done > first.returned => {
            let (what, returned) = (&call.what, first.returned);
            let what =
                format!("{what}, called at {invoked} and answered at {returned}, says that it was done at {done}");
            found.violate("I8", what);
        }
        Outcome::Ok(_) | Outcome::Fail | Outcome::Unknown => {}
    }
}

fn leaves(kind: Kind) -> bool {
    match kind {
        Kind::Sms | Kind::Call | Kind::Push => true,
        Kind::Correction | Kind::Answering | Kind::Answer => false,
    }
}

/// Not received: a reminder may be superseded, and then for a reason; everything else is lost.
fn missing(found: &mut Judgement, one: &Due<'_>, all: &[Due<'_>], ladder: &Ladder, evidence: &Evidence) {
    let superseded = one.kind == Kind::Sms && evidence.superseded.contains(&one.id);
    if !superseded {
        found.lost += 1;
        return found.violate("I2", format!("lost: {}", one.named()));
    }
    let later = |other: &&Due<'_>| {
        other.assignment.ladder == one.assignment.ladder && other.target == one.target && other.kind == Kind::Sms
    };
    let overtaken = all.iter().filter(later).any(|other| other.rung > one.rung);
    if one.assignment.stopped_at.is_none() && !overtaken {
        found.violate("I6", format!("superseded without an answer or a later reminder: {}", one.named()));
    }
    if latest(one.due_at, &evidence.windows) <= one.due_at + ladder.check_after {
        found.violate("I4", format!("so late that it was superseded, longer than any fault explains: {}", one.named()));
    }
}

fn arrived(
    found: &mut Judgement,
    one: &Due<'_>,
    seen: &[&Seen],
    history: &History,
    ladder: &Ladder,
    evidence: &Evidence,
) {
    let first = seen[0].at;
    if let Some(to) = elsewhere(one, seen) {
        found.violate("I2", format!("went to {to}: {}", one.named()));
    }
    if seen.len() > 1 && !evidence.ambiguous.contains(&one.id) {
        found.doubled += 1;
        let times: Vec<_> = seen.iter().map(|seen| seen.at.to_rfc3339()).collect();
        found.violate("I2", format!("doubled at {}: {}", times.join(", "), one.named()));
    }
    let came = evidence.opened.get(&one.id).copied().unwrap_or(first);
    if first.min(came) < one.due_at {
        found.early += 1;
        found.violate("I3", format!("early at {}: {}", first.min(came), one.named()));
    }
    let late = came - one.due_at;
    found.latest = found.latest.max(late);
    let struck: Vec<_> = evidence.windows.iter().filter(|window| window.touches(one.due_at, came)).collect();
    let healed = delaying(one.due_at, &evidence.windows).into_iter().rfind(|window| one.due_at <= window.ended);
    if let Some(took) = healed.map(|window| came - window.ended).filter(|took| *took > found.healed) {
        (found.healed, found.last) = (took, format!("came {came}: {}", one.named()));
    }
    if struck.is_empty() {
        found.lateness.push(late);
    }
    if came > latest(one.due_at, &evidence.windows) {
        let what = format!("late by {} ms, longer than any fault explains: {}", late.num_milliseconds(), one.named());
        found.violate("I4", what);
    }
    late_in_vain(found, one, first, history, ladder, evidence);
}

/// Whom a reminder or a call went to that is not whom it was for; one is for the number of a role, and for its name and number the
/// other.
fn elsewhere<'s>(one: &Due<'_>, seen: &[&'s Seen]) -> Option<&'s str> {
    let phone = phone(one.assignment.unit, one.target);
    let wrong = |seen: &&&Seen| seen.kind != Kind::Push && !seen.to.ends_with(&phone);
    seen.iter().find(wrong).map(|seen| seen.to.as_str())
}

/// What left although it was too late for it.
fn late_in_vain(
    found: &mut Judgement,
    one: &Due<'_>,
    first: DateTime<Utc>,
    history: &History,
    ladder: &Ladder,
    evidence: &Evidence,
) {
    let late = first - one.due_at;
    let stale = one.assignment.stopped_at.is_some_and(|stopped| stopped + ON_ITS_WAY < first);
    if one.kind == Kind::Sms && late > ladder.check_after + ON_ITS_WAY && stale {
        found.violate("I5", format!("a late reminder to a unit that had answered left at {first}: {}", one.named()));
    }
    let released = history.released.iter().any(|(id, at)| *id == one.id && *at <= first);
    let bound = ladder.fault_after + ON_ITS_WAY;
    let offered = evidence.turned_away.get(&one.id).is_some_and(|at| *at - one.due_at <= bound);
    if one.kind == Kind::Push && late > bound && !released && !offered {
        found.violate("I5", format!("pushed without release at {first}: {}", one.named()));
    }
}

/// How many violations of each invariant there are.
pub fn by_invariant(violations: &[Violation]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for violation in violations {
        *counts.entry(violation.invariant.to_owned()).or_default() += 1;
    }
    counts
}
