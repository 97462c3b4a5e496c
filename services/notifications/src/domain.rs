//! What notifications decides, pure, and every Chinese word that leaves the house.

pub mod alarm;
pub mod call_task;
pub mod link;
pub mod message;
pub mod rung;
pub mod texts;

use chrono::TimeDelta;
use foundation::base::Timestamp;
use foundation::words;
use uuid::Uuid;

words! {
    /// State of a message: that of its delivery.
    MessageState {
        /// Waits to be sent.
        Queued = "queued",
        /// Handed to the gateway, which may have it.
        Sending = "leased",
        /// The gateway took it over.
        Accepted = "accepted",
        /// It reached the phone.
        Delivered = "delivered",
        /// Refused or undeliverable.
        Failed = "failed",
        /// Taken over, and no receipt came.
        Unknown = "unknown",
        /// Late, and meanwhile answered or overtaken.
        Superseded = "superseded",
        /// Nobody holds the role.
        NoContact = "no_contact",
        /// A drill.
        Drill = "drill",
    }
    /// State of a call task that the desk can see.
    CallTaskState {
        /// To be made.
        Open = "open",
        /// Made and recorded.
        Recorded = "recorded",
        /// A drill.
        Drill = "drill",
    }
    /// Why the centre is alarmed.
    AlarmReason {
        /// Nobody holds the role that an effect is for.
        NoContact = "no_contact",
        /// A message could not be delivered.
        NotDelivered = "not_delivered",
        /// No receipt came for a message.
        NoReceipt = "no_receipt",
    }
    /// What a ladder guards.
    Kind {
        /// Until the answer.
        Answer = "answer",
        /// Until the result.
        Handling = "handling",
    }
    /// Whom an effect is for.
    Target {
        /// Duty contact.
        Duty = "duty",
        /// Head.
        Head = "head",
        /// Deputy contact.
        Deputy = "deputy",
        /// Deputy district mayor in charge.
        DeputyMayor = "deputy_mayor",
        /// Head of the governance centre.
        CentreHead = "centre_head",
    }
    /// The card shown.
    Card {
        /// 黄牌
        Yellow = "yellow",
        /// 红牌
        Red = "red",
    }
}

/// The rung that asks for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Its whistle.
    pub whistle: Uuid,
    /// Its assignment.
    pub assignment: Uuid,
    /// Its ladder.
    pub ladder: Uuid,
    /// What that guards.
    pub kind: Kind,
    /// From 1.
    pub number: i32,
    /// When it was due.
    pub due_at: Timestamp,
    /// A reminder later than this is checked before it leaves.
    pub check_after: TimeDelta,
    /// Nothing may leave the house.
    pub drill: bool,
}
