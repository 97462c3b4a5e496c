//! What the governance centre must look into.

use foundation::base::id;
use uuid::Uuid;

use super::{AlarmReason, MessageState};

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Named by what it is about: raised once.
    pub id: Uuid,
    /// Why.
    pub reason: AlarmReason,
    /// The assignment.
    pub assignment: Uuid,
    /// For the person at the desk.
    pub text: String,
}

impl Alarm {
    /// About an effect.
    pub fn about(effect: Uuid, reason: AlarmReason, assignment: Uuid, text: String) -> Alarm {
        Alarm { id: id::named(effect, &["alarm", reason.word()]), reason, assignment, text }
    }
}

/// Why the centre is alarmed when a message ends so, with nobody else to send it to.
pub fn reason(state: MessageState) -> Option<AlarmReason> {
    match state {
        MessageState::NoContact => Some(AlarmReason::NoContact),
        MessageState::Failed => Some(AlarmReason::NotDelivered),
        MessageState::Unknown => Some(AlarmReason::NoReceipt),
        MessageState::Queued
        | MessageState::Sending
        | MessageState::Accepted
        | MessageState::Delivered
        | MessageState::Superseded
        | MessageState::Drill => None,
    }
}
