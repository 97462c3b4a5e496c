//! What oversight hears: everything that belongs on a timeline, and the rung that makes a case. The 15-hour escalation is
//! just another subscriber.

use foundation::BoxFuture;
use foundation::bus::Fact;
use foundation::clock::{Timestamp, from_wire};
use foundation::id;
use foundation::inbox::{Failure, Routes};
use proto::Event as _;
use proto::common::v1 as common;
use proto::events::v1::rung_effect::Effect;
use proto::events::v1::{
    AssignmentAnswered, AssignmentSubmitted, CallRecorded, CardAnnulled, MessageAccepted, RungFired, WhistleBlown,
    WhistleClosed, WhistleWithdrawn,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::texts::{self, Card};
use crate::error::Error;
use crate::operations::{self, NewCase};
use crate::store::Entry;

/// What is heard.
const SUBJECTS: [&str; 9] = [
    WhistleBlown::SUBJECT,
    RungFired::SUBJECT,
    AssignmentAnswered::SUBJECT,
    AssignmentSubmitted::SUBJECT,
    CardAnnulled::SUBJECT,
    WhistleWithdrawn::SUBJECT,
    WhistleClosed::SUBJECT,
    MessageAccepted::SUBJECT,
    CallRecorded::SUBJECT,
];

/// Everything becomes a line of a timeline; a timeline is written many lines at once.
pub fn routes() -> Routes {
    Routes::gathering("oversight", &SUBJECTS, hear).unhurried()
}

/// What a fact means here: a line, and for some what follows once it is written.
struct Meaning {
    line: Entry,
    then: Option<Then>,
}

enum Then {
    Open(NewCase),
    Correct { assignment: Uuid, card: Card, name: String },
}

fn hear(tx: &mut PgConnection, facts: Vec<Fact>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let meant = facts.iter().map(meaning).collect::<Result<Vec<_>, _>>()?;
        let lines: Vec<_> = meant.iter().map(|meant| meant.line).collect();
        operations::note(tx, &lines).await?;
        for then in meant.into_iter().filter_map(|meant| meant.then) {
            match then {
                Then::Open(case) => operations::open_case(tx, &case).await?,
                Then::Correct { assignment, card, name } => operations::correct(tx, assignment, card, &name).await?,
            }
        }
        Ok(())
    })
}

fn meaning(fact: &Fact) -> Result<Meaning, Failure> {
    Ok(match fact.subject.as_str() {
        WhistleBlown::SUBJECT => whistle_blown(&fact.read()?)?,
        RungFired::SUBJECT => rung_fired(&fact.read()?)?,
        AssignmentAnswered::SUBJECT => assignment_answered(&fact.read()?)?,
        AssignmentSubmitted::SUBJECT => assignment_submitted(&fact.read()?)?,
        CardAnnulled::SUBJECT => card_annulled(&fact.read()?)?,
        WhistleWithdrawn::SUBJECT => whistle_withdrawn(&fact.read()?)?,
        WhistleClosed::SUBJECT => whistle_closed(&fact.read()?)?,
        MessageAccepted::SUBJECT => message_accepted(&fact.read()?)?,
        CallRecorded::SUBJECT => call_recorded(&fact.read()?)?,
        other => return Err(Failure::Park(format!("nobody here hears {other}"))),
    })
}

fn whistle_blown(event: &WhistleBlown) -> Result<Meaning, Error> {
    let fact = texts::Fact::Blown { units: event.assignments.len() };
    note(&event.whistle_id, None, event.blown_at, fact, "blown")
}

fn rung_fired(event: &RungFired) -> Result<Meaning, Error> {
    let shown = event.effects.iter().find_map(|effect| match effect.effect {
        Some(Effect::Card(ref shown)) => card(shown.card()),
        _ => None,
    });
    let push = event.effects.iter().find(|effect| matches!(effect.effect, Some(Effect::Push(_))));
    let (number, platform_fault) = (event.rung, event.platform_fault);
    let fact = texts::Fact::Rung { number, card: shown, push: push.is_some(), platform_fault };
    let name = format!("{}/{}", event.ladder_id, event.rung);
    let noted = note(&event.whistle_id, Some(&event.assignment_id), event.fired_at, fact, &name)?;
    let then = push.map(|push| case(event, &push.effect_id)).transpose()?.map(Then::Open);
    Ok(Meaning { then, ..noted })
}

fn case(event: &RungFired, effect_id: &str) -> Result<NewCase, Error> {
    Ok(NewCase {
        id: uuid(effect_id, "effect_id")?,
        whistle: uuid(&event.whistle_id, "whistle_id")?,
        assignment: uuid(&event.assignment_id, "assignment_id")?,
        ladder: uuid(&event.ladder_id, "ladder_id")?,
        unit: uuid(&event.unit_id, "unit_id")?,
        due_at: time(event.due_at)?,
        platform_fault_after_ms: event.platform_fault_after_ms,
        drill: event.drill,
    })
}

fn assignment_answered(event: &AssignmentAnswered) -> Result<Meaning, Error> {
    note(&event.whistle_id, Some(&event.assignment_id), event.answered_at, texts::Fact::Answered, "answered")
}

fn assignment_submitted(event: &AssignmentSubmitted) -> Result<Meaning, Error> {
    let name = format!("submitted/{}", event.version);
    note(&event.whistle_id, Some(&event.assignment_id), event.submitted_at, texts::Fact::Submitted, &name)
}

fn card_annulled(event: &CardAnnulled) -> Result<Meaning, Error> {
    let annulled = card(event.card()).ok_or(Error::Unreadable("card"))?;
    let name = format!("annulled/{}/{}", event.ladder_id, event.rung);
    let fact = texts::Fact::Annulled { card: annulled };
    let noted = note(&event.whistle_id, Some(&event.assignment_id), event.annulled_at, fact, &name)?;
    let assignment = uuid(&event.assignment_id, "assignment_id")?;
    Ok(Meaning { then: Some(Then::Correct { assignment, card: annulled, name }), ..noted })
}

fn whistle_withdrawn(event: &WhistleWithdrawn) -> Result<Meaning, Error> {
    note(&event.whistle_id, None, event.withdrawn_at, texts::Fact::Withdrawn, "withdrawn")
}

fn whistle_closed(event: &WhistleClosed) -> Result<Meaning, Error> {
    note(&event.whistle_id, None, event.closed_at, texts::Fact::Closed, "closed")
}

fn message_accepted(event: &MessageAccepted) -> Result<Meaning, Error> {
    let fact = texts::Fact::Reminded { rung: event.rung };
    note(&event.whistle_id, Some(&event.assignment_id), event.accepted_at, fact, &event.effect_id)
}

fn call_recorded(event: &CallRecorded) -> Result<Meaning, Error> {
    let fact = texts::Fact::Called { rung: event.rung };
    note(&event.whistle_id, Some(&event.assignment_id), event.called_at, fact, &event.effect_id)
}

/// One line of a timeline, under a name that the same fact always has.
fn note(
    whistle: &str,
    assignment: Option<&str>,
    at: Option<prost_types::Timestamp>,
    fact: texts::Fact,
    name: &str,
) -> Result<Meaning, Error> {
    let whistle = uuid(whistle, "whistle_id")?;
    let assignment = assignment.map(|id| uuid(id, "assignment_id")).transpose()?;
    let share = assignment.map(|id| id.to_string()).unwrap_or_default();
    let line = Entry { id: id::named(whistle, &[&share, name]), whistle, assignment, at: time(at)?, fact };
    Ok(Meaning { line, then: None })
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Unreadable(field))
}

fn time(at: Option<prost_types::Timestamp>) -> Result<Timestamp, Error> {
    at.as_ref().and_then(from_wire).ok_or(Error::Unreadable("time"))
}

fn card(card: common::Card) -> Option<Card> {
    match card {
        common::Card::Yellow => Some(Card::Yellow),
        common::Card::Red => Some(Card::Red),
        common::Card::Unspecified => None,
    }
}
