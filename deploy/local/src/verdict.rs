//! The verdict, from the stand-ins' logs only: every effect expected is there once, none early, none besides. What is
//! expected is computed anew from what the driver knows: T0 and the ids in BlowWhistle's answer, the policy that it loaded,
//! and when the answer was confirmed.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::stand_ins::{Kind, Seen};

/// One step of the ladder, as the driver loaded it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// After T0.
    pub after: TimeDelta,
    /// Roles that get an SMS.
    pub sms: &'static [&'static str],
    /// Role that is phoned.
    pub call: Option<&'static str>,
    /// Whether the case is pushed.
    pub push: bool,
}

/// The ladder of the domain with an hour of this length.
pub fn ladder(hour: TimeDelta) -> [Step; 4] {
    let step = |hours, sms, call, push| Step { after: hour * hours, sms, call, push };
    [
        step(0, &["duty"] as &[_], None, false),
        step(1, &["duty", "head"], Some("head"), false),
        step(4, &["duty", "head", "deputy_mayor"], Some("deputy_mayor"), false),
        step(15, &[], None, true),
    ]
}

/// A unit's assignment, as the driver knows it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// What people call the unit.
    pub unit: String,
    /// Its id.
    pub id: Uuid,
    /// Its answer ladder.
    pub ladder: Uuid,
    /// When the whistle blew.
    pub blown_at: DateTime<Utc>,
    /// When the answer was recorded.
    pub answered_at: Option<DateTime<Utc>>,
}

/// An effect that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub id: String,
    /// What a stand-in receives of it.
    pub kind: Kind,
    /// Not before.
    pub due_at: DateTime<Utc>,
    /// For a person.
    pub what: String,
}

/// What is wrong with the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Expected and not received.
    Lost(String),
    /// Received more than once.
    Doubled(String),
    /// Received before it was due, by so much.
    Early(String, TimeDelta),
    /// Received and not expected.
    Unexpected(String),
}

/// A clean verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clean {
    /// Effects received, each once.
    pub effects: usize,
    /// The longest that one was received after it was due.
    pub latest: TimeDelta,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Violation::Lost(what) => write!(f, "丢失 lost: {what}"),
            Violation::Doubled(what) => write!(f, "重复 doubled: {what}"),
            Violation::Early(what, by) => write!(f, "提前 early by {} ms: {what}", by.num_milliseconds()),
            Violation::Unexpected(what) => write!(f, "多余 unexpected: {what}"),
        }
    }
}

/// Everything that must leave the house for these assignments: the rungs with `due_at <= answered_at`.
pub fn expected(assignments: &[Assignment], ladder: &[Step]) -> Vec<Expected> {
    let mut all = Vec::new();
    for assignment in assignments {
        for (number, step) in (1..).zip(ladder) {
            let due_at = assignment.blown_at + step.after;
            if assignment.answered_at.is_some_and(|answered| due_at > answered) {
                continue;
            }
            let mut add = |kind, word: &str, target: &str| {
                let name = format!("{}/{number}/{word}/{target}", assignment.ladder);
                let id = Uuid::new_v5(&assignment.id, name.as_bytes()).to_string();
                all.push(Expected {
                    id,
                    kind,
                    due_at,
                    what: format!("{} 第{number}级 {word} {target}", assignment.unit),
                });
            };
            step.sms.iter().for_each(|target| add(Kind::Sms, "sms", target));
            step.call.iter().for_each(|target| add(Kind::Call, "call", target));
            if step.push {
                add(Kind::Push, "push", "oversight_platform");
            }
        }
    }
    all
}

/// Judges what the stand-ins received.
pub fn verdict(expected: &[Expected], received: &[Seen]) -> Result<Clean, Vec<Violation>> {
    let mut times: BTreeMap<(Kind, &str), Vec<DateTime<Utc>>> = BTreeMap::new();
    for seen in received.iter().filter(|seen| is_effect(seen.kind)) {
        times.entry((seen.kind, &seen.id)).or_default().push(seen.at);
    }
    let (mut violations, mut latest) = (Vec::new(), TimeDelta::zero());
    for one in expected {
        let at = times.remove(&(one.kind, one.id.as_str())).unwrap_or_default();
        match at.as_slice() {
            [] => violations.push(Violation::Lost(one.what.clone())),
            [first, more @ ..] => {
                if !more.is_empty() {
                    violations.push(Violation::Doubled(one.what.clone()));
                }
                if *first < one.due_at {
                    violations.push(Violation::Early(one.what.clone(), one.due_at - *first));
                }
                latest = latest.max(*first - one.due_at);
            }
        }
    }
    violations.extend(times.keys().map(|(kind, id)| Violation::Unexpected(format!("{kind:?} {id}"))));
    if violations.is_empty() { Ok(Clean { effects: expected.len(), latest }) } else { Err(violations) }
}

fn is_effect(kind: Kind) -> bool {
    match kind {
        Kind::Sms | Kind::Call | Kind::Push | Kind::Correction => true,
        Kind::Answering | Kind::Answer => false,
    }
}
