//! What others get to know, and what they tell.

use foundation::base::time::from_wire;
use foundation::base::{Failure, Wire as _};
use foundation::log::{Envelope, Received};
use proto::Event;
use proto::events::v1;
use proto::events::v1::whistle_ref::Subject;
use uuid::Uuid;

use crate::domain::grievance::{Grade, Grievance, New, Progress, Whistle};
use crate::domain::{Difficulty, GrievanceId, Stage, State};
use crate::error::Error;

/// Raised; its text stays here.
pub fn submitted(grievance: &Grievance, new: &New) -> v1::GrievanceSubmitted {
    v1::GrievanceSubmitted {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        channel: new.channel.clone(),
        version: grievance.version,
        actor: None,
    }
}

/// A stage was recorded, and more follow.
pub fn stage_recorded(grievance: &Grievance, stage: Stage) -> v1::ReviewStageRecorded {
    v1::ReviewStageRecorded {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        stage: stage.number(),
        version: grievance.version,
        actor: None,
    }
}

/// All three are recorded.
pub fn reviewed(grievance: &Grievance, difficulty: Difficulty) -> v1::GrievanceReviewed {
    v1::GrievanceReviewed {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        difficulty: difficulty.number(),
        version: grievance.version,
        actor: None,
    }
}

/// Graded.
pub fn graded(grievance: &Grievance, grade: &Grade) -> v1::GrievanceGraded {
    v1::GrievanceGraded {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        whistle_id: whistle_id(grievance),
        outcome: grade.outcome.number(),
        satisfaction: grade.satisfaction.number(),
        version: grievance.version,
        actor: None,
    }
}

/// The whistle over it has come further.
pub fn progressed(grievance: &Grievance) -> v1::GrievanceProgressed {
    v1::GrievanceProgressed {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        whistle_id: whistle_id(grievance),
        version: grievance.version,
        actor: None,
    }
}

fn whistle_id(grievance: &Grievance) -> String {
    grievance.whistle.map(|whistle| whistle.id.to_string()).unwrap_or_default()
}

/// What grievances subscribes to.
pub const SUBJECTS: [&str; 6] = [
    v1::WhistleBlown::SUBJECT,
    v1::AssignmentAnswered::SUBJECT,
    v1::AssignmentSubmitted::SUBJECT,
    v1::AssignmentReturned::SUBJECT,
    v1::WhistleWithdrawn::SUBJECT,
    v1::WhistleClosed::SUBJECT,
];

/// What an event of a whistle says of its grievance; none where it is over something else.
pub fn progress(envelope: &Envelope) -> Result<Option<Received<Progress>>, Failure> {
    match envelope.subject.as_str() {
        v1::WhistleBlown::SUBJECT => {
            said(envelope, |event: &v1::WhistleBlown| (&event.whistle, State::Whistled, Some(event.matter.clone())))
        }
        v1::AssignmentAnswered::SUBJECT => {
            said(envelope, |event: &v1::AssignmentAnswered| (&event.whistle, State::Handling, None))
        }
        v1::AssignmentSubmitted::SUBJECT => said(envelope, |event: &v1::AssignmentSubmitted| {
            (&event.whistle, if event.all_submitted { State::Submitted } else { State::Handling }, None)
        }),
        v1::AssignmentReturned::SUBJECT => {
            said(envelope, |event: &v1::AssignmentReturned| (&event.whistle, State::Handling, None))
        }
        v1::WhistleWithdrawn::SUBJECT => {
            said(envelope, |event: &v1::WhistleWithdrawn| (&event.whistle, State::Reviewed, None))
        }
        v1::WhistleClosed::SUBJECT => said(envelope, |event: &v1::WhistleClosed| (&event.whistle, State::Closed, None)),
        other => Err(Failure::Park(format!("nobody here subscribes to {other}"))),
    }
}

/// Of an event: its whistle, what it makes of the grievance, and the matter that it names.
type Said<'e> = (&'e Option<v1::WhistleRef>, State, Option<String>);

fn said<E: Event>(envelope: &Envelope, read: fn(&E) -> Said<'_>) -> Result<Option<Received<Progress>>, Failure> {
    let event = envelope.open::<E>()?;
    let (whistle, state, matter) = read(&event.event);
    let whistle = whistle.as_ref().ok_or(Error::Unreadable("whistle"))?;
    let uuid = |text: &str, field| text.parse::<Uuid>().map_err(|_| Error::Unreadable(field));
    let grievance = match &whistle.subject {
        Some(Subject::GrievanceId(id)) => GrievanceId(uuid(id, "grievance_id")?),
        Some(Subject::BundleId(_)) => return Ok(None),
        None => return Err(Error::Unreadable("subject").into()),
    };
    let progress = Progress {
        grievance,
        area: whistle.area.clone(),
        matter,
        whistle: Whistle {
            blown_at: whistle.blow_time.as_ref().and_then(from_wire).ok_or(Error::Unreadable("blow_time"))?,
            id: uuid(&whistle.whistle_id, "whistle_id")?,
            version: event.version(),
        },
        state,
    };
    Ok(Some(event.meaning(progress)))
}
