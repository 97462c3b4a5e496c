//! Ladders as data. A version never changes; a whistle keeps the one it started under.

use chrono::TimeDelta;
use foundation::base::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Card, Kind, Target};

/// One version of the ladders.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Assigned by the database.
    pub version: i64,
    /// Walks the ladder without ever leaving the house.
    pub drill: bool,
    /// A reminder later than this is checked before it leaves.
    pub reminder_check_after: TimeDelta,
    /// Later than this is the platform's fault.
    pub platform_fault_after: TimeDelta,
    /// Counted from T0.
    pub answer: Vec<Step>,
    /// Counted from the handling deadline.
    pub handling: Vec<Step>,
}

/// A version that was added.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// With its number.
    pub policy: Policy,
    /// When.
    pub at: Timestamp,
}

/// What a rung does, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds after the ladder's zero; negative for a reminder before a deadline.
    pub after_ms: i64,
    /// Reminders by SMS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sms: Option<Sms>,
    /// The card shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<Card>,
    /// Whom the head of the governance centre must phone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub callee: Option<Target>,
    /// Whether the case goes to 阳光+.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub push: bool,
}

/// A text and whom it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sms {
    /// Which of the three texts.
    pub text: u8,
    /// Each gets one message.
    pub targets: Vec<Target>,
}

impl Policy {
    /// The steps of one kind of ladder.
    pub fn steps(&self, kind: Kind) -> &[Step] {
        match kind {
            Kind::Answer => &self.answer,
            Kind::Handling => &self.handling,
        }
    }
}
