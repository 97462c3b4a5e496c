//! Domain event -> proto event; the only such place.

use foundation::outbox::Announcement;
use proto::common::v1 as common;
use proto::events::v1 as events;
use uuid::Uuid;

use crate::domain::{Difficulty, Event, Outcome, Satisfaction};
use crate::store::{Grade, Loaded, New};

/// A grievance was raised; its text stays here.
pub fn submitted(id: Uuid, new: &New) -> Announcement {
    let (area, channel) = (new.area.clone(), new.channel.clone());
    Announcement::of(&events::GrievanceSubmitted { grievance_id: id.to_string(), area, channel, version: 1 })
}

/// What others must learn of an event.
pub fn of(event: Event, at: &Loaded, grade: Option<&Grade>) -> Option<Announcement> {
    let (grievance_id, version) = (at.id.to_string(), at.version);
    match event {
        Event::StageRecorded => None,
        Event::Reviewed(found) => Some(Announcement::of(&events::GrievanceReviewed {
            grievance_id,
            area: at.area.clone(),
            difficulty: difficulty(found).into(),
            version,
        })),
        Event::Graded => grade.map(|grade| {
            Announcement::of(&events::GrievanceGraded {
                grievance_id,
                whistle_id: at.grievance.whistle.map(|whistle| whistle.id.to_string()).unwrap_or_default(),
                outcome: outcome(grade.outcome).into(),
                satisfaction: satisfaction(grade.satisfaction).into(),
                version,
            })
        }),
    }
}

pub(crate) fn difficulty(difficulty: Difficulty) -> common::Difficulty {
    match difficulty {
        Difficulty::Simple => common::Difficulty::Simple,
        Difficulty::Complex => common::Difficulty::Complex,
        Difficulty::Long => common::Difficulty::Long,
        Difficulty::Hard => common::Difficulty::Hard,
        Difficulty::Neighbourly => common::Difficulty::Neighbourly,
    }
}

pub(crate) fn outcome(outcome: Outcome) -> common::Outcome {
    match outcome {
        Outcome::Solved => common::Outcome::Solved,
        Outcome::PartlySolved => common::Outcome::PartlySolved,
        Outcome::NotSolved => common::Outcome::NotSolved,
    }
}

pub(crate) fn satisfaction(satisfaction: Satisfaction) -> common::Satisfaction {
    match satisfaction {
        Satisfaction::Satisfied => common::Satisfaction::Satisfied,
        Satisfaction::BasicallySatisfied => common::Satisfaction::BasicallySatisfied,
        Satisfaction::NotSatisfied => common::Satisfaction::NotSatisfied,
    }
}
