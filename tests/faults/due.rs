//! What has to happen: recomputed from T0 in BlowWhistle's answer and the policy.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use local::stand_ins::{Kind, Seen};
use local::verdict::Step;
use uuid::Uuid;

use super::history::{Assignment, History, Ladder, Whistle};

/// One effect of a rung.
pub struct Due<'h> {
    /// By which the outside knows it.
    pub id: Uuid,
    /// SMS, call or push.
    pub kind: Kind,
    /// When its rung is due.
    pub due_at: DateTime<Utc>,
    /// The whistle.
    pub whistle: &'h Whistle,
    /// Whose ladder.
    pub assignment: &'h Assignment,
    /// Which rung, from 1.
    pub rung: usize,
    /// Which role it goes to.
    pub target: &'static str,
}

impl Due<'_> {
    /// With whistle, rung and times.
    pub fn named(&self) -> String {
        let (kind, target, due) = (self.kind, self.target, self.due_at);
        let stopped = self.assignment.stopped_at.map_or("never".into(), |at| at.to_rfc3339());
        let (whistle, assignment) = (self.whistle.id, self.assignment.id);
        format!(
            "whistle {whistle} (T0 {}), assignment {assignment}, rung {}, {kind:?} to {target}, due {due}, stopped {stopped}",
            self.whistle.blown_at, self.rung
        )
    }
}

/// A rung happens if and only if it is due by the stop.
pub fn expected<'h>(history: &'h History, ladder: &Ladder) -> Vec<Due<'h>> {
    let happens = |one: &Due<'_>| one.assignment.stopped_at.is_none_or(|stopped| one.due_at <= stopped);
    every(history, ladder).filter(happens).collect()
}

/// Every effect of every rung, whether or not it happens.
pub fn every<'h>(history: &'h History, ladder: &Ladder) -> impl Iterator<Item = Due<'h>> {
    let assignments = history
        .whistles
        .iter()
        .flat_map(|whistle| whistle.assignments.iter().map(move |assignment| (whistle, assignment)));
    assignments.flat_map(|(whistle, assignment)| {
        (1..).zip(&ladder.steps).flat_map(move |(rung, step)| {
            let due_at = whistle.blown_at + step.after;
            effects(step).map(move |(kind, word, target)| {
                let name = format!("{}/{rung}/{word}/{target}", assignment.ladder);
                let id = Uuid::new_v5(&assignment.id, name.as_bytes());
                Due { id, kind, due_at, whistle, assignment, rung, target }
            })
        })
    })
}

/// What could not be delivered to a unit's duty contact or head goes to its deputy, unless the rung says so anyway.
pub fn fallbacks<'h>(
    due: &[Due<'h>],
    received: &HashMap<Uuid, Vec<&Seen>>,
    undeliverable: &HashSet<Uuid>,
) -> Vec<Due<'h>> {
    let mut known: HashSet<Uuid> = due.iter().map(|one| one.id).collect();
    let failed = due.iter().filter(|one| undeliverable.contains(&one.id) && ["duty", "head"].contains(&one.target));
    let instead = failed.filter_map(|one| {
        let name = format!("{}/{}/sms/deputy", one.assignment.ladder, one.rung);
        let id = Uuid::new_v5(&one.assignment.id, name.as_bytes());
        // It follows the receipt, which is asked for after the message was taken over.
        let due_at = received.get(&one.id)?.first()?.at;
        Some(Due { id, kind: Kind::Sms, due_at, target: "deputy", ..*one })
    });
    instead.filter(|one| known.insert(one.id)).collect()
}

fn effects(step: &Step) -> impl Iterator<Item = (Kind, &'static str, &'static str)> {
    let sms = step.sms.iter().map(|target| (Kind::Sms, "sms", *target));
    let call = step.call.map(|target| (Kind::Call, "call", target));
    let push = step.push.then_some((Kind::Push, "push", "oversight_platform"));
    sms.chain(call).chain(push)
}
