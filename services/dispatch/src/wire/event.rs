//! What others get to know, and what they tell.

use foundation::base::time::to_wire;
use foundation::base::{Timestamp, Wire as _, id};
use proto::events::v1;
use proto::events::v1::rung_effect as effect;
use proto::events::v1::whistle_ref::Subject;

use crate::domain::command::Command;
use crate::domain::ladder::{Action, Effect, Fired};
use crate::domain::policy::Policy;
use crate::domain::whistle::{Assignment, Whistle};
use crate::domain::{AssignmentId, Card, GrievanceId, LadderId, Outcome, Role, Target, UnitId, WhistleId};
use crate::error::Error;

/// A whistle, as its events name it.
pub fn whistle_ref(whistle: &Whistle) -> Option<v1::WhistleRef> {
    reference(whistle.id, whistle.grievance, &whistle.area, whistle.blown_at)
}

/// The same, of its parts.
pub fn reference(id: WhistleId, grievance: GrievanceId, area: &str, blown_at: Timestamp) -> Option<v1::WhistleRef> {
    Some(v1::WhistleRef {
        whistle_id: id.to_string(),
        subject: Some(Subject::GrievanceId(grievance.to_string())),
        area: area.to_owned(),
        blow_time: Some(to_wire(blown_at)),
    })
}

/// An assignment, as events name it.
pub fn assignment_ref(id: AssignmentId, unit: UnitId, role: Role) -> v1::AssignmentRef {
    v1::AssignmentRef { assignment_id: id.to_string(), unit_id: unit.to_string(), role: role.number() }
}

fn of_assignment(assignment: &Assignment) -> Option<v1::AssignmentRef> {
    Some(assignment_ref(assignment.id, assignment.unit, assignment.role))
}

/// 吹哨
pub fn blown(whistle: &Whistle, policy: &Policy) -> v1::WhistleBlown {
    v1::WhistleBlown {
        whistle: whistle_ref(whistle),
        assignments: whistle.assignments.iter().filter_map(of_assignment).collect(),
        matter: whistle.matter.clone(),
        policy_version: policy.version,
        drill: policy.drill,
        version: whistle.version,
        actor: None,
    }
}

/// A rung fired, with every effect that it asks for.
pub fn rung_fired(
    whistle: Option<v1::WhistleRef>,
    (assignment, unit, role): (AssignmentId, UnitId, Role),
    matter: &str,
    fired: &Fired,
    policy: &Policy,
) -> v1::RungFired {
    v1::RungFired {
        whistle,
        assignment: Some(assignment_ref(assignment, unit, role)),
        ladder_id: fired.ladder.to_string(),
        kind: fired.kind.number(),
        generation: fired.generation,
        rung: fired.rung.number,
        due_time: Some(to_wire(fired.rung.due_at)),
        fire_time: fired.rung.fired_at.map(to_wire),
        platform_fault: fired.rung.platform_fault,
        effects: fired.effects(assignment, policy).iter().map(effect).collect(),
        drill: policy.drill,
        reminder_check_after_ms: policy.reminder_check_after.num_milliseconds(),
        platform_fault_after_ms: policy.platform_fault_after.num_milliseconds(),
        version: fired.rung.number.into(),
        actor: None,
        matter: matter.to_owned(),
    }
}

fn effect(one: &Effect) -> v1::RungEffect {
    let what = match one.action {
        Action::Sms { text, target } => effect::Effect::Sms(effect::Sms { text: text.into(), target: target.number() }),
        Action::Card(card) => effect::Effect::Card(effect::ShownCard { card: card.number() }),
        Action::PhoneCall { callee } => {
            effect::Effect::Call(effect::PhoneCall { caller: Target::CentreHead.number(), callee: callee.number() })
        }
        Action::Push => effect::Effect::Push(effect::Push {}),
    };
    v1::RungEffect { effect_id: one.id.to_string(), effect: Some(what) }
}

/// 应哨
pub fn answered(whistle: &Whistle, assignment: &Assignment, at: Timestamp) -> v1::AssignmentAnswered {
    v1::AssignmentAnswered {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        answer_time: Some(to_wire(at)),
        version: whistle.version,
        actor: None,
    }
}

/// 交卷
pub fn submitted(whistle: &Whistle, assignment: &Assignment, at: Timestamp) -> v1::AssignmentSubmitted {
    v1::AssignmentSubmitted {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        submit_time: Some(to_wire(at)),
        all_submitted: whistle.all_submitted(),
        version: whistle.version,
        actor: None,
    }
}

/// Graded.
pub fn graded(whistle: &Whistle, assignment: &Assignment, outcome: Outcome) -> v1::AssignmentGraded {
    v1::AssignmentGraded {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        outcome: outcome.number(),
        version: whistle.version,
        actor: None,
    }
}

/// Handled again.
pub fn returned(whistle: &Whistle, assignment: &Assignment, until: Timestamp) -> v1::AssignmentReturned {
    v1::AssignmentReturned {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        handle_due_time: Some(to_wire(until)),
        version: whistle.version,
        actor: None,
    }
}

/// Confirmed.
pub fn assignment_closed(whistle: &Whistle, assignment: &Assignment, at: Timestamp) -> v1::AssignmentClosed {
    v1::AssignmentClosed {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        close_time: Some(to_wire(at)),
        version: whistle.version,
        actor: None,
    }
}

/// A card was annulled.
pub fn card_annulled(
    whistle: &Whistle,
    assignment: &Assignment,
    (ladder, rung, card): (LadderId, i32, Card),
    at: Timestamp,
) -> v1::CardAnnulled {
    v1::CardAnnulled {
        whistle: whistle_ref(whistle),
        assignment: of_assignment(assignment),
        ladder_id: ladder.to_string(),
        rung,
        card: card.number(),
        annul_time: Some(to_wire(at)),
        version: whistle.version,
        actor: None,
    }
}

/// Taken back.
pub fn withdrawn(whistle: &Whistle, at: Timestamp) -> v1::WhistleWithdrawn {
    let (whistle, version) = (whistle_ref(whistle), whistle.version);
    v1::WhistleWithdrawn { whistle, withdraw_time: Some(to_wire(at)), version, actor: None }
}

/// Closed.
pub fn closed(whistle: &Whistle, at: Timestamp) -> v1::WhistleClosed {
    let (whistle, version) = (whistle_ref(whistle), whistle.version);
    v1::WhistleClosed { whistle, close_time: Some(to_wire(at)), version, actor: None }
}

/// A unit of the directory changed.
pub fn unit_changed(id: UnitId, version: i64) -> v1::UnitChanged {
    v1::UnitChanged { unit_id: id.to_string(), version, actor: None }
}

/// A deputy mayor of the directory changed.
pub fn deputy_mayor_changed(matter: &str, version: i64) -> v1::DeputyMayorChanged {
    v1::DeputyMayorChanged { matter: matter.to_owned(), version, actor: None }
}

/// A policy was added.
pub fn policy_created(policy: &Policy) -> v1::PolicyCreated {
    let (policy_version, version) = (policy.version, policy.version);
    v1::PolicyCreated { policy_version, drill: policy.drill, version, actor: None }
}

/// How the resident has graded, as a command; none for what the community handled itself, without a whistle.
pub fn grade(event: &v1::GrievanceGraded) -> Result<Option<Command>, Error> {
    if event.whistle_id.is_empty() {
        return Ok(None);
    }
    let whistle = event.whistle_id.parse().map_err(|_| Error::Unreadable("whistle_id"))?;
    let outcome = Outcome::of_number(event.outcome).ok_or(Error::Unreadable("outcome"))?;
    Ok(Some(Command::Grade { whistle: WhistleId(whistle), outcome, drawn: id::new() }))
}
