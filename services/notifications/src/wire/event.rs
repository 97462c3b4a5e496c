//! What others get to know, and what they tell.

use chrono::TimeDelta;
use foundation::base::time::{from_wire, to_wire};
use foundation::base::{Timestamp, Wire as _};
use proto::events::v1;
use proto::events::v1::rung_effect::Effect;
use uuid::Uuid;

use crate::domain::Rung;
use crate::domain::call_task::{Asked, CallTask, Record};
use crate::domain::message::Message;
use crate::domain::rung::Fired;
use crate::domain::{Card, Kind, Target};
use crate::error::Error;

/// The gateway took a reminder over.
pub fn accepted(message: &Message, at: Timestamp) -> v1::MessageAccepted {
    v1::MessageAccepted {
        effect_id: message.id.to_string(),
        whistle_id: message.rung.whistle.to_string(),
        assignment_id: message.rung.assignment.to_string(),
        target: message.target.number(),
        rung: message.rung.number,
        accept_time: Some(to_wire(at)),
        version: 1,
        actor: None,
    }
}

/// A call was made and recorded.
pub fn recorded(task: &CallTask, record: &Record) -> v1::CallRecorded {
    v1::CallRecorded {
        effect_id: task.id.to_string(),
        whistle_id: task.whistle.to_string(),
        assignment_id: task.assignment.to_string(),
        callee: task.callee.number(),
        rung: task.rung,
        call_time: Some(to_wire(record.called_at)),
        version: task.version,
        actor: None,
    }
}

/// What a rung that fired asks of this service.
pub fn fired(event: &v1::RungFired, traceparent: Option<String>) -> Result<Fired, Error> {
    let rung = rung(event)?;
    let card = event.effects.iter().find_map(|effect| match &effect.effect {
        Some(Effect::Card(shown)) => Card::of_number(shown.card),
        Some(Effect::Sms(_) | Effect::Call(_) | Effect::Push(_)) | None => None,
    });
    let (mut messages, mut calls) = (Vec::new(), Vec::new());
    for effect in &event.effects {
        let id = uuid(&effect.effect_id, "effect_id")?;
        match &effect.effect {
            Some(Effect::Sms(sms)) => {
                messages.push(Message { id, rung, text: sms.text, target: target(sms.target)? });
            }
            Some(Effect::Call(call)) => {
                let (caller, callee) = (target(call.caller)?, target(call.callee)?);
                calls.push(Asked { id, rung, card, caller, callee });
            }
            Some(Effect::Card(_) | Effect::Push(_)) | None => {}
        }
    }
    Ok(Fired { messages, calls, traceparent })
}

fn rung(event: &v1::RungFired) -> Result<Rung, Error> {
    let whistle = event.whistle.as_ref().ok_or(Error::Unreadable("whistle"))?;
    let assignment = event.assignment.as_ref().ok_or(Error::Unreadable("assignment"))?;
    Ok(Rung {
        whistle: uuid(&whistle.whistle_id, "whistle_id")?,
        assignment: uuid(&assignment.assignment_id, "assignment_id")?,
        ladder: uuid(&event.ladder_id, "ladder_id")?,
        kind: Kind::of_number(event.kind).ok_or(Error::Unreadable("kind"))?,
        number: event.rung,
        due_at: event.due_time.as_ref().and_then(from_wire).ok_or(Error::Unreadable("due_time"))?,
        check_after: TimeDelta::milliseconds(event.reminder_check_after_ms),
        drill: event.drill,
    })
}

fn target(number: i32) -> Result<Target, Error> {
    Target::of_number(number).ok_or(Error::Unreadable("target"))
}

fn uuid(text: &str, field: &'static str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Unreadable(field))
}
