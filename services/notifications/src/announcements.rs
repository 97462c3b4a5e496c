//! Domain -> proto event; the only such place.

use foundation::clock::{Timestamp, to_wire};
use foundation::outbox::Announcement;
use proto::common::v1 as common;
use proto::events::v1 as events;
use uuid::Uuid;

use crate::domain::Target;

/// What an effect belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// Its name.
    pub id: Uuid,
    /// The whistle.
    pub whistle: Uuid,
    /// The unit's share.
    pub assignment: Uuid,
    /// The rung.
    pub rung: i32,
    /// For whom.
    pub target: Target,
}

/// The gateway took a reminder over.
pub fn accepted(effect: Effect, at: Timestamp) -> Announcement {
    Announcement::of(&events::MessageAccepted {
        effect_id: effect.id.to_string(),
        whistle_id: effect.whistle.to_string(),
        assignment_id: effect.assignment.to_string(),
        target: target(effect.target).into(),
        rung: effect.rung,
        accepted_at: Some(to_wire(at)),
    })
}

/// A call was made and recorded.
pub fn recorded(effect: Effect, at: Timestamp) -> Announcement {
    Announcement::of(&events::CallRecorded {
        effect_id: effect.id.to_string(),
        whistle_id: effect.whistle.to_string(),
        assignment_id: effect.assignment.to_string(),
        callee: target(effect.target).into(),
        rung: effect.rung,
        called_at: Some(to_wire(at)),
    })
}

pub(crate) fn target(target: Target) -> common::TargetRole {
    match target {
        Target::Duty => common::TargetRole::Duty,
        Target::Head => common::TargetRole::Head,
        Target::Deputy => common::TargetRole::Deputy,
        Target::DeputyMayor => common::TargetRole::DeputyMayor,
        Target::CentreHead => common::TargetRole::CentreHead,
    }
}
