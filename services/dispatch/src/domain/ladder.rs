//! The ladder: which rungs there are, when each is due, which fire.
//!
//! A rung happens if and only if `due_at <= stopped_at` (never stopped is infinity), exactly once. Due times are computed
//! once, when the ladder starts, never from "now". Stopping first fires what is already due, so the outcome follows from
//! two recorded times, not from how late the platform was, and anyone can recompute it.

use chrono::TimeDelta;
use foundation::base::{Timestamp, id};
use uuid::Uuid;

use super::policy::{Policy, Step};
use super::{AssignmentId, Card, EffectKind, GrievanceId, Kind, LadderId, Role, Target, UnitId, WhistleId};

/// The timed steps that guard one assignment until one deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// Drawn when it starts.
    pub id: LadderId,
    /// 1 is the first of its assignment.
    pub ordinal: i32,
    /// What it guards.
    pub kind: Kind,
    /// Counts the deadlines of this kind, from 1.
    pub generation: i32,
    /// Its zero: T0, or the handling deadline.
    pub started_at: Timestamp,
    /// None while it runs.
    pub stopped_at: Option<Timestamp>,
    /// In order of their numbers and of their due times.
    pub rungs: Vec<Rung>,
}

/// One timed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// From 1; the step of the policy with the same number says what it does.
    pub number: i32,
    /// Never moves.
    pub due_at: Timestamp,
    /// None until it fires.
    pub fired_at: Option<Timestamp>,
    /// Fired later than the policy's bound.
    pub platform_fault: bool,
    /// The card it shows.
    pub card: Option<Card>,
    /// Why the centre annulled the card.
    pub annul_reason: Option<String>,
}

/// A rung that has just fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// The ladder.
    pub ladder: LadderId,
    /// What it guards.
    pub kind: Kind,
    /// Which deadline.
    pub generation: i32,
    /// The rung, with its times.
    pub rung: Rung,
}

/// An assignment with a rung due, and what its event tells of.
#[derive(Debug, Clone)]
pub struct Due {
    /// The assignment.
    pub id: AssignmentId,
    /// Its unit.
    pub unit: UnitId,
    /// Its role.
    pub role: Role,
    /// Its whistle.
    pub whistle: WhistleId,
    /// The grievance.
    pub grievance: GrievanceId,
    /// The whistle's area.
    pub area: String,
    /// The whistle's matter.
    pub matter: String,
    /// The whistle's T0.
    pub blown_at: Timestamp,
    /// The whistle's policy.
    pub policy_version: i64,
}

/// One thing that a fired rung asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The same wherever it is stored: UUIDv5(assignment, ladder, rung, kind, target role).
    pub id: Uuid,
    /// What.
    pub action: Action,
}

/// What an effect does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A reminder with one of the three texts.
    Sms {
        /// 1 to 3.
        text: u8,
        /// Whom it goes to.
        target: Target,
    },
    /// A card shown to the unit.
    Card(Card),
    /// A phone call by the head of the governance centre.
    PhoneCall {
        /// Who is phoned.
        callee: Target,
    },
    /// A case for 阳光+.
    Push,
}

impl Action {
    /// The word of its kind.
    pub fn kind(self) -> EffectKind {
        match self {
            Action::Sms { .. } => EffectKind::Sms,
            Action::Card(_) => EffectKind::Card,
            Action::PhoneCall { .. } => EffectKind::Call,
            Action::Push => EffectKind::Push,
        }
    }

    /// Whom it is for: a card is the unit's head's.
    pub fn target(self) -> Target {
        match self {
            Action::Sms { target, .. } => target,
            Action::Card(_) => Target::Head,
            Action::PhoneCall { callee } => callee,
            Action::Push => Target::OversightPlatform,
        }
    }
}

impl Ladder {
    /// A ladder with zero at `started_at`, beginning to run at `now`. Steps that would lie before that are not part of it.
    pub fn start(
        id: LadderId,
        (ordinal, kind, generation): (i32, Kind, i32),
        started_at: Timestamp,
        now: Timestamp,
        policy: &Policy,
    ) -> Ladder {
        let rung = |(step, number): (&Step, i32)| Rung {
            number,
            due_at: started_at + TimeDelta::milliseconds(step.after_ms),
            fired_at: None,
            platform_fault: false,
            card: step.card,
            annul_reason: None,
        };
        let rungs = policy.steps(kind).iter().zip(1..).map(rung).filter(|rung| rung.due_at >= now).collect();
        Ladder { id, ordinal, kind, generation, started_at, stopped_at: None, rungs }
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.stopped_at.is_none()
    }

    /// Fires what is due by now and was not fired yet, in order.
    pub fn fire(&mut self, now: Timestamp, policy: &Policy) -> Vec<Fired> {
        let until = self.stopped_at.map_or(now, |stopped| stopped.min(now));
        let (ladder, kind, generation) = (self.id, self.kind, self.generation);
        let due = self.rungs.iter_mut().filter(|rung| rung.fired_at.is_none() && rung.due_at <= until);
        let fired = due.map(|rung| {
            rung.fired_at = Some(now);
            rung.platform_fault = now - rung.due_at > policy.platform_fault_after;
            Fired { ladder, kind, generation, rung: rung.clone() }
        });
        fired.collect()
    }

    /// Fires what is due by now, then stops for good.
    pub fn stop(&mut self, now: Timestamp, policy: &Policy) -> Vec<Fired> {
        let fired = self.fire(now, policy);
        self.stopped_at.get_or_insert(now);
        fired
    }

    /// When the next rung is due; none when nothing is left to fire.
    pub fn next_due(&self) -> Option<Timestamp> {
        let stopped = self.stopped_at;
        let open = self.rungs.iter().filter(|rung| rung.fired_at.is_none());
        open.map(|rung| rung.due_at).filter(|due| stopped.is_none_or(|stopped| *due <= stopped)).min()
    }
}

impl Fired {
    /// Everything that this rung asks for.
    pub fn effects(&self, assignment: AssignmentId, policy: &Policy) -> Vec<Effect> {
        let Some(step) =
            usize::try_from(self.rung.number - 1).ok().and_then(|index| policy.steps(self.kind).get(index))
        else {
            return Vec::new();
        };
        let sms = step
            .sms
            .iter()
            .flat_map(|sms| sms.targets.iter().map(|target| Action::Sms { text: sms.text, target: *target }));
        let card = step.card.map(Action::Card);
        let call = step.callee.map(|callee| Action::PhoneCall { callee });
        let push = step.push.then_some(Action::Push);
        let named = |action: Action| Effect { id: self.effect_id(assignment, action), action };
        sms.chain(card).chain(call).chain(push).map(named).collect()
    }

    fn effect_id(&self, assignment: AssignmentId, action: Action) -> Uuid {
        let (ladder, number) = (self.ladder.to_string(), self.rung.number.to_string());
        id::named(assignment.0, &[&ladder, &number, action.kind().word(), action.target().word()])
    }
}
