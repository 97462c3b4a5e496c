//! What others get to know, and what they tell.

use chrono::TimeDelta;
use foundation::base::time::{from_wire, to_wire};
use foundation::base::{Failure, Timestamp, Wire as _};
use foundation::log::Envelope;
use proto::Event as _;
use proto::events::v1;
use proto::events::v1::rung_effect::Effect;
use uuid::Uuid;

use crate::domain::case::Case;
use crate::domain::correction::Annulled;
use crate::domain::timeline::{Happening, Line};
use crate::domain::{Card, CaseState};
use crate::error::Error;

/// What oversight subscribes to.
pub const SUBJECTS: [&str; 9] = [
    v1::WhistleBlown::SUBJECT,
    v1::RungFired::SUBJECT,
    v1::AssignmentAnswered::SUBJECT,
    v1::AssignmentSubmitted::SUBJECT,
    v1::CardAnnulled::SUBJECT,
    v1::WhistleWithdrawn::SUBJECT,
    v1::WhistleClosed::SUBJECT,
    v1::MessageAccepted::SUBJECT,
    v1::CallRecorded::SUBJECT,
];

/// The centre let a case go.
pub fn released(case: &Case) -> v1::CaseReleased {
    v1::CaseReleased {
        case_id: case.id.to_string(),
        whistle_id: case.whistle.to_string(),
        assignment_id: case.assignment.to_string(),
        version: case.version,
        actor: None,
    }
}

/// 阳光+ confirmed a case.
pub fn pushed(case: &Case, at: Timestamp) -> v1::CasePushed {
    v1::CasePushed {
        case_id: case.id.to_string(),
        whistle_id: case.whistle.to_string(),
        assignment_id: case.assignment.to_string(),
        receive_time: Some(to_wire(at)),
        version: case.version,
        actor: None,
    }
}

/// What an event means here: a line of a timeline, and for some what follows once it is written.
#[derive(Debug)]
pub struct Meaning {
    /// The line.
    pub line: Line,
    /// The case that it opens.
    pub case: Option<Case>,
    /// The card that it annuls.
    pub annulled: Option<Annulled>,
}

/// What an event means.
pub fn meaning(envelope: &Envelope) -> Result<Meaning, Failure> {
    Ok(match envelope.subject.as_str() {
        v1::WhistleBlown::SUBJECT => blown(&envelope.open::<v1::WhistleBlown>()?.event)?,
        v1::RungFired::SUBJECT => rung_fired(&envelope.open::<v1::RungFired>()?.event)?,
        v1::AssignmentAnswered::SUBJECT => answered(&envelope.open::<v1::AssignmentAnswered>()?.event)?,
        v1::AssignmentSubmitted::SUBJECT => submitted(&envelope.open::<v1::AssignmentSubmitted>()?.event)?,
        v1::CardAnnulled::SUBJECT => {
            annulled(&envelope.open::<v1::CardAnnulled>()?.event, envelope.traceparent.clone())?
        }
        v1::WhistleWithdrawn::SUBJECT => withdrawn(&envelope.open::<v1::WhistleWithdrawn>()?.event)?,
        v1::WhistleClosed::SUBJECT => closed(&envelope.open::<v1::WhistleClosed>()?.event)?,
        v1::MessageAccepted::SUBJECT => reminded(&envelope.open::<v1::MessageAccepted>()?.event)?,
        v1::CallRecorded::SUBJECT => called(&envelope.open::<v1::CallRecorded>()?.event)?,
        other => return Err(Failure::Park(format!("nobody here subscribes to {other}"))),
    })
}

fn blown(event: &v1::WhistleBlown) -> Result<Meaning, Error> {
    let at = event.whistle.as_ref().and_then(|whistle| whistle.blow_time);
    line((&event.whistle, &None), at, Happening::Blown { units: event.assignments.len() }, "blown")
}

fn rung_fired(event: &v1::RungFired) -> Result<Meaning, Error> {
    let card = event.effects.iter().find_map(|effect| match &effect.effect {
        Some(Effect::Card(shown)) => Card::of_number(shown.card),
        Some(Effect::Sms(_) | Effect::Call(_) | Effect::Push(_)) | None => None,
    });
    let push = event.effects.iter().find(|effect| matches!(effect.effect, Some(Effect::Push(_))));
    let happening =
        Happening::RungFired { number: event.rung, card, push: push.is_some(), platform_fault: event.platform_fault };
    let name = format!("{}/{}", event.ladder_id, event.rung);
    let meaning = line((&event.whistle, &event.assignment), event.fire_time, happening, &name)?;
    let case = push.map(|push| case(event, &push.effect_id)).transpose()?;
    Ok(Meaning { case, ..meaning })
}

fn case(event: &v1::RungFired, effect_id: &str) -> Result<Case, Error> {
    let assignment = event.assignment.as_ref().ok_or(Error::Unreadable("assignment"))?;
    Ok(Case {
        id: uuid(effect_id, "effect_id")?,
        whistle: whistle_id(&event.whistle)?,
        assignment: uuid(&assignment.assignment_id, "assignment_id")?,
        ladder: uuid(&event.ladder_id, "ladder_id")?,
        unit: uuid(&assignment.unit_id, "unit_id")?,
        due_at: time(event.due_time)?,
        fault_after: TimeDelta::milliseconds(event.platform_fault_after_ms),
        state: if event.drill { CaseState::Drill } else { CaseState::Pending },
        version: 1,
    })
}

fn answered(event: &v1::AssignmentAnswered) -> Result<Meaning, Error> {
    line((&event.whistle, &event.assignment), event.answer_time, Happening::Answered, "answered")
}

fn submitted(event: &v1::AssignmentSubmitted) -> Result<Meaning, Error> {
    let name = format!("submitted/{}", event.version);
    line((&event.whistle, &event.assignment), event.submit_time, Happening::Submitted, &name)
}

fn annulled(event: &v1::CardAnnulled, traceparent: Option<String>) -> Result<Meaning, Error> {
    let card = Card::of_number(event.card).ok_or(Error::Unreadable("card"))?;
    let name = format!("annulled/{}/{}", event.ladder_id, event.rung);
    let happening = Happening::CardAnnulled { card };
    let meaning = line((&event.whistle, &event.assignment), event.annul_time, happening, &name)?;
    let assignment = meaning.line.assignment.ok_or(Error::Unreadable("assignment"))?;
    Ok(Meaning { annulled: Some(Annulled { assignment, card, name, traceparent }), ..meaning })
}

fn withdrawn(event: &v1::WhistleWithdrawn) -> Result<Meaning, Error> {
    line((&event.whistle, &None), event.withdraw_time, Happening::Withdrawn, "withdrawn")
}

fn closed(event: &v1::WhistleClosed) -> Result<Meaning, Error> {
    line((&event.whistle, &None), event.close_time, Happening::Closed, "closed")
}

fn reminded(event: &v1::MessageAccepted) -> Result<Meaning, Error> {
    let (whistle, assignment) = (uuid(&event.whistle_id, "whistle_id")?, uuid(&event.assignment_id, "assignment_id")?);
    let happening = Happening::Reminded { rung: event.rung };
    Ok(only(Line::new(whistle, Some(assignment), time(event.accept_time)?, happening, &event.effect_id)))
}

fn called(event: &v1::CallRecorded) -> Result<Meaning, Error> {
    let (whistle, assignment) = (uuid(&event.whistle_id, "whistle_id")?, uuid(&event.assignment_id, "assignment_id")?);
    let happening = Happening::Called { rung: event.rung };
    Ok(only(Line::new(whistle, Some(assignment), time(event.call_time)?, happening, &event.effect_id)))
}

fn line(
    (whistle, assignment): (&Option<v1::WhistleRef>, &Option<v1::AssignmentRef>),
    at: Option<prost_types::Timestamp>,
    happening: Happening,
    name: &str,
) -> Result<Meaning, Error> {
    let assignment =
        assignment.as_ref().map(|assignment| uuid(&assignment.assignment_id, "assignment_id")).transpose()?;
    Ok(only(Line::new(whistle_id(whistle)?, assignment, time(at)?, happening, name)))
}

fn only(line: Line) -> Meaning {
    Meaning { line, case: None, annulled: None }
}

fn whistle_id(whistle: &Option<v1::WhistleRef>) -> Result<Uuid, Error> {
    uuid(&whistle.as_ref().ok_or(Error::Unreadable("whistle"))?.whistle_id, "whistle_id")
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Unreadable(field))
}

fn time(at: Option<prost_types::Timestamp>) -> Result<Timestamp, Error> {
    at.as_ref().and_then(from_wire).ok_or(Error::Unreadable("time"))
}
