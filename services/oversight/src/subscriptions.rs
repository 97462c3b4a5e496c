//! What oversight hears: everything that belongs on a timeline, and the rung that makes a case. The 15-hour escalation is
//! just another subscriber.

use foundation::BoxFuture;
use foundation::clock::{Timestamp, from_wire};
use foundation::id;
use foundation::inbox::{Failure, Routes};
use proto::common::v1 as common;
use proto::events::v1::rung_effect::Effect;
use proto::events::v1::{
    AssignmentAnswered, AssignmentSubmitted, CallRecorded, CardAnnulled, MessageAccepted, RungFired, WhistleBlown,
    WhistleClosed, WhistleWithdrawn,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::texts::{Card, Fact};
use crate::error::Error;
use crate::operations::{self, NewCase};
use crate::store::Entry;

type Heard<'c> = BoxFuture<'c, Result<(), Failure>>;

/// One function per event heard.
pub fn routes() -> Routes {
    Routes::new("oversight")
        .on(whistle_blown)
        .on(rung_fired)
        .on(assignment_answered)
        .on(assignment_submitted)
        .on(card_annulled)
        .on(whistle_withdrawn)
        .on(whistle_closed)
        .on(message_accepted)
        .on(call_recorded)
}

fn whistle_blown(tx: &mut PgConnection, event: WhistleBlown) -> Heard<'_> {
    Box::pin(async move {
        let fact = Fact::Blown { units: event.assignments.len() };
        note(tx, &event.whistle_id, None, event.blown_at, fact, "blown").await
    })
}

fn rung_fired(tx: &mut PgConnection, event: RungFired) -> Heard<'_> {
    Box::pin(async move {
        let shown = event.effects.iter().find_map(|effect| match effect.effect {
            Some(Effect::Card(ref shown)) => card(shown.card()),
            _ => None,
        });
        let push = event.effects.iter().find(|effect| matches!(effect.effect, Some(Effect::Push(_))));
        let fact =
            Fact::Rung { number: event.rung, card: shown, push: push.is_some(), platform_fault: event.platform_fault };
        let name = format!("{}/{}", event.ladder_id, event.rung);
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.fired_at, fact, &name).await?;
        match push {
            Some(push) => Ok(operations::open_case(tx, &case(&event, &push.effect_id)?).await?),
            None => Ok(()),
        }
    })
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

fn assignment_answered(tx: &mut PgConnection, event: AssignmentAnswered) -> Heard<'_> {
    Box::pin(async move {
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.answered_at, Fact::Answered, "answered").await
    })
}

fn assignment_submitted(tx: &mut PgConnection, event: AssignmentSubmitted) -> Heard<'_> {
    Box::pin(async move {
        let name = format!("submitted/{}", event.version);
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.submitted_at, Fact::Submitted, &name).await
    })
}

fn card_annulled(tx: &mut PgConnection, event: CardAnnulled) -> Heard<'_> {
    Box::pin(async move {
        let annulled = card(event.card()).ok_or(Error::Unreadable("card"))?;
        let name = format!("annulled/{}/{}", event.ladder_id, event.rung);
        let fact = Fact::Annulled { card: annulled };
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.annulled_at, fact, &name).await?;
        let assignment = uuid(&event.assignment_id, "assignment_id")?;
        Ok(operations::correct(tx, assignment, annulled, &name).await?)
    })
}

fn whistle_withdrawn(tx: &mut PgConnection, event: WhistleWithdrawn) -> Heard<'_> {
    Box::pin(async move { note(tx, &event.whistle_id, None, event.withdrawn_at, Fact::Withdrawn, "withdrawn").await })
}

fn whistle_closed(tx: &mut PgConnection, event: WhistleClosed) -> Heard<'_> {
    Box::pin(async move { note(tx, &event.whistle_id, None, event.closed_at, Fact::Closed, "closed").await })
}

fn message_accepted(tx: &mut PgConnection, event: MessageAccepted) -> Heard<'_> {
    Box::pin(async move {
        let fact = Fact::Reminded { rung: event.rung };
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.accepted_at, fact, &event.effect_id).await
    })
}

fn call_recorded(tx: &mut PgConnection, event: CallRecorded) -> Heard<'_> {
    Box::pin(async move {
        let fact = Fact::Called { rung: event.rung };
        note(tx, &event.whistle_id, Some(&event.assignment_id), event.called_at, fact, &event.effect_id).await
    })
}

/// Writes one line of a timeline, under a name that the same fact always has.
async fn note(
    tx: &mut PgConnection,
    whistle: &str,
    assignment: Option<&str>,
    at: Option<prost_types::Timestamp>,
    fact: Fact,
    name: &str,
) -> Result<(), Failure> {
    let whistle = uuid(whistle, "whistle_id")?;
    let assignment = assignment.map(|id| uuid(id, "assignment_id")).transpose()?;
    let share = assignment.map(|id| id.to_string()).unwrap_or_default();
    let entry = Entry { id: id::named(whistle, &[&share, name]), whistle, assignment, at: time(at)?, fact };
    Ok(operations::note(tx, &entry).await?)
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
