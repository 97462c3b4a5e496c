//! Domain event -> proto event; the only such place. Also the words of the domain as proto enums.

use foundation::clock::{Timestamp, to_wire};
use foundation::outbox::Announcement;
use proto::common::v1 as common;
use proto::events::v1 as events;

use crate::domain::ladder::{Action, Effect, Fired, Kind};
use crate::domain::policy::Policy;
use crate::domain::whistle::{Assignment, Event, Share};
use crate::domain::{AssignmentId, Card, Role, Target};
use crate::store::Loaded;
use crate::store::due::Due;

/// What others must learn of an event; nothing of what is this service's own affair.
pub fn of(event: &Event, at: &Loaded, now: Timestamp) -> Option<Announcement> {
    let (whistle_id, grievance_id, version) = (at.whistle.id.to_string(), at.grievance.to_string(), at.version);
    let (when, area, blown_at) = (Some(to_wire(now)), at.area.clone(), Some(to_wire(at.whistle.blown_at)));
    let fact = match event {
        Event::Fired(id, fired) => rung_fired(fired, &due(at, *id)?, &at.policy),
        Event::Answered(id) => answered(at, *id, now)?,
        Event::Submitted(id) => submitted(at, *id, now)?,
        Event::Returned(id, until) => returned(at, *id, *until)?,
        Event::CardAnnulled(id, ladder, rung, shown, _) => Announcement::of(&events::CardAnnulled {
            whistle_id,
            assignment_id: id.to_string(),
            ladder_id: ladder.to_string(),
            rung: *rung,
            card: card(Some(*shown)).into(),
            annulled_at: when,
        }),
        Event::WhistleWithdrawn => {
            let withdrawn_at = when;
            Announcement::of(&events::WhistleWithdrawn {
                whistle_id,
                grievance_id,
                withdrawn_at,
                version,
                area,
                blown_at,
            })
        }
        Event::WhistleClosed => {
            let closed_at = when;
            Announcement::of(&events::WhistleClosed { whistle_id, grievance_id, closed_at, version, area, blown_at })
        }
        Event::Started(..) | Event::Stopped(..) | Event::Graded(..) | Event::Closed(_) => return None,
    };
    Some(fact)
}

fn answered(at: &Loaded, id: AssignmentId, now: Timestamp) -> Option<Announcement> {
    Some(Announcement::of(&events::AssignmentAnswered {
        whistle_id: at.whistle.id.to_string(),
        grievance_id: at.grievance.to_string(),
        assignment_id: id.to_string(),
        unit_id: share(at, id)?.unit.to_string(),
        answered_at: Some(to_wire(now)),
        version: at.version,
        area: at.area.clone(),
        blown_at: Some(to_wire(at.whistle.blown_at)),
    }))
}

fn submitted(at: &Loaded, id: AssignmentId, now: Timestamp) -> Option<Announcement> {
    Some(Announcement::of(&events::AssignmentSubmitted {
        whistle_id: at.whistle.id.to_string(),
        grievance_id: at.grievance.to_string(),
        assignment_id: id.to_string(),
        unit_id: share(at, id)?.unit.to_string(),
        submitted_at: Some(to_wire(now)),
        all_submitted: at.whistle.assignments.iter().all(handed_in),
        version: at.version,
        area: at.area.clone(),
        blown_at: Some(to_wire(at.whistle.blown_at)),
    }))
}

fn returned(at: &Loaded, id: AssignmentId, until: Timestamp) -> Option<Announcement> {
    Some(Announcement::of(&events::AssignmentReturned {
        whistle_id: at.whistle.id.to_string(),
        grievance_id: at.grievance.to_string(),
        assignment_id: id.to_string(),
        unit_id: share(at, id)?.unit.to_string(),
        handle_by: Some(to_wire(until)),
        version: at.version,
        area: at.area.clone(),
        blown_at: Some(to_wire(at.whistle.blown_at)),
    }))
}

fn share(at: &Loaded, id: AssignmentId) -> Option<&Assignment> {
    at.whistle.assignments.iter().find(|share| share.id == id)
}

/// The whistle itself, when it is blown.
pub fn blown(at: &Loaded) -> Announcement {
    let assignments = at.whistle.assignments.iter().map(|share| events::AssignmentRef {
        assignment_id: share.id.to_string(),
        unit_id: share.unit.to_string(),
        role: role(share.role).into(),
    });
    Announcement::of(&events::WhistleBlown {
        whistle_id: at.whistle.id.to_string(),
        grievance_id: at.grievance.to_string(),
        area: at.area.clone(),
        matter: at.matter.clone(),
        assignments: assignments.collect(),
        blown_at: Some(to_wire(at.whistle.blown_at)),
        policy_version: at.policy.version,
        drill: at.policy.drill,
        version: at.version,
    })
}

/// A rung, with every effect that it asks for.
pub fn rung_fired(fired: &Fired, of: &Due, policy: &Policy) -> Announcement {
    Announcement::of(&events::RungFired {
        whistle_id: of.whistle.to_string(),
        assignment_id: of.id.to_string(),
        unit_id: of.unit.to_string(),
        ladder_id: fired.ladder.to_string(),
        kind: kind(fired.kind).into(),
        generation: fired.generation,
        rung: fired.rung.number,
        due_at: Some(to_wire(fired.rung.due_at)),
        fired_at: fired.rung.fired_at.map(to_wire),
        platform_fault: fired.rung.platform_fault,
        effects: fired.effects(of.id, policy).iter().map(effect).collect(),
        drill: policy.drill,
        reminder_check_after_ms: policy.reminder_check_after.num_milliseconds(),
        platform_fault_after_ms: policy.platform_fault_after.num_milliseconds(),
        area: of.area.clone(),
        matter: of.matter.clone(),
    })
}

fn due(at: &Loaded, id: AssignmentId) -> Option<Due> {
    Some(Due {
        id,
        unit: share(at, id)?.unit,
        whistle: at.whistle.id,
        grievance: at.grievance,
        area: at.area.clone(),
        matter: at.matter.clone(),
        policy: at.policy.version,
    })
}

fn handed_in(share: &Assignment) -> bool {
    match share.state {
        Share::Submitted | Share::Closed | Share::Withdrawn => true,
        Share::Whistled | Share::Answered => false,
    }
}

fn effect(effect: &Effect) -> events::RungEffect {
    use events::rung_effect::{Call, Effect as Wire, Push, ShowCard, Sms};
    let wire = match effect.action {
        Action::Sms { text, target: to } => Wire::Sms(Sms { text: text.into(), target: target(to).into() }),
        Action::Card(shown) => Wire::Card(ShowCard { card: card(Some(shown)).into() }),
        Action::Call { callee } => {
            Wire::Call(Call { caller: target(Target::CentreHead).into(), callee: target(callee).into() })
        }
        Action::Push => Wire::Push(Push {}),
    };
    events::RungEffect { effect_id: effect.id.to_string(), effect: Some(wire) }
}

pub(crate) fn kind(kind: Kind) -> common::LadderKind {
    match kind {
        Kind::Answer => common::LadderKind::Answer,
        Kind::Handling => common::LadderKind::Handling,
    }
}

pub(crate) fn card(card: Option<Card>) -> common::Card {
    match card {
        Some(Card::Yellow) => common::Card::Yellow,
        Some(Card::Red) => common::Card::Red,
        None => common::Card::Unspecified,
    }
}

pub(crate) fn role(role: Role) -> common::AssignmentRole {
    match role {
        Role::Lead => common::AssignmentRole::Lead,
        Role::Supporting => common::AssignmentRole::Supporting,
    }
}

pub(crate) fn target(target: Target) -> common::TargetRole {
    match target {
        Target::Duty => common::TargetRole::Duty,
        Target::Head => common::TargetRole::Head,
        Target::Deputy => common::TargetRole::Deputy,
        Target::DeputyMayor => common::TargetRole::DeputyMayor,
        Target::CentreHead => common::TargetRole::CentreHead,
        Target::OversightPlatform => common::TargetRole::OversightPlatform,
    }
}
