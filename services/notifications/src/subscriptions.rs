//! What notifications hears: rungs that fired.

use foundation::BoxFuture;
use foundation::bus::Fact;
use foundation::clock::from_wire;
use foundation::inbox::{Failure, Routes};
use proto::Event as _;
use proto::common::v1 as common;
use proto::events::v1::RungFired;
use proto::events::v1::rung_effect::Effect;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Card, Kind, Target};
use crate::error::Error;
use crate::operations::hear::{self, Asked, Rung};

/// Rungs that fired together are written down together.
pub fn routes() -> Routes {
    Routes::gathering("notifications", &[RungFired::SUBJECT], rungs_fired)
}

fn rungs_fired(tx: &mut PgConnection, facts: Vec<Fact>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        let read = facts.into_iter().map(|fact| Ok::<_, Failure>(parse(&fact.read()?, fact.traceparent)?));
        let rungs: Vec<_> = read.collect::<Result<_, _>>()?;
        Ok(hear::rungs_fired(tx, &rungs).await?)
    })
}

fn parse(event: &RungFired, traceparent: Option<String>) -> Result<Rung, Error> {
    let mut asked = Vec::with_capacity(event.effects.len());
    let card = event.effects.iter().find_map(|effect| match effect.effect {
        Some(Effect::Card(ref shown)) => card(shown.card()),
        _ => None,
    });
    for effect in &event.effects {
        let id = uuid(&effect.effect_id, "effect_id")?;
        asked.extend(match &effect.effect {
            Some(Effect::Sms(sms)) => Some(Asked::Sms { id, text: sms.text, target: target(sms.target())? }),
            Some(Effect::Call(call)) => {
                Some(Asked::Call { id, card, caller: target(call.caller())?, callee: target(call.callee())? })
            }
            Some(Effect::Card(_) | Effect::Push(_)) | None => None,
        });
    }
    Ok(Rung {
        whistle: uuid(&event.whistle_id, "whistle_id")?,
        assignment: uuid(&event.assignment_id, "assignment_id")?,
        ladder: uuid(&event.ladder_id, "ladder_id")?,
        kind: match event.kind() {
            common::LadderKind::Answer => Kind::Answer,
            common::LadderKind::Handling => Kind::Handling,
            common::LadderKind::Unspecified => return Err(Error::Unreadable("kind")),
        },
        number: event.rung,
        due_at: event.due_at.as_ref().and_then(from_wire).ok_or(Error::Unreadable("due_at"))?,
        check_after_ms: event.reminder_check_after_ms,
        drill: event.drill,
        asked,
        traceparent,
    })
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Unreadable(field))
}

fn card(card: common::Card) -> Option<Card> {
    match card {
        common::Card::Yellow => Some(Card::Yellow),
        common::Card::Red => Some(Card::Red),
        common::Card::Unspecified => None,
    }
}

fn target(role: common::TargetRole) -> Result<Target, Error> {
    match role {
        common::TargetRole::Duty => Ok(Target::Duty),
        common::TargetRole::Head => Ok(Target::Head),
        common::TargetRole::Deputy => Ok(Target::Deputy),
        common::TargetRole::DeputyMayor => Ok(Target::DeputyMayor),
        common::TargetRole::CentreHead => Ok(Target::CentreHead),
        common::TargetRole::OversightPlatform | common::TargetRole::Unspecified => Err(Error::Unreadable("target")),
    }
}
