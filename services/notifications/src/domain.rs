//! What notifications decides, pure: what a rung asks of it, whether a reminder still leaves, and every Chinese word sent.

pub mod link;
pub mod texts;

use chrono::TimeDelta;
use foundation::clock::Timestamp;
use foundation::words;
use uuid::Uuid;

words! {
    /// Where a message stands.
    State {
        /// Waits to be sent.
        Queued = "queued",
        /// Taken up; the gateway may have it.
        Sending = "sending",
        /// The gateway took it over.
        Accepted = "accepted",
        /// It reached the phone.
        Delivered = "delivered",
        /// Refused or undeliverable.
        Failed = "failed",
        /// Late, and answered or overtaken meanwhile.
        Superseded = "superseded",
        /// Nobody holds the role.
        NoContact = "no_contact",
        /// A drill.
        Drill = "drill",
    }
    /// Where a call task stands.
    Task {
        /// The callee is being looked up.
        Resolving = "resolving",
        /// To be made.
        Open = "open",
        /// Made and recorded.
        Recorded = "recorded",
        /// A drill.
        Drill = "drill",
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

/// What is known of a reminder when it is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// The rung's due time.
    pub due_at: Timestamp,
    /// Later than this it is checked.
    pub check_after: TimeDelta,
    /// When its ladder stopped.
    pub stopped_at: Option<Timestamp>,
    /// A later reminder of the same ladder to the same role exists.
    pub overtaken: bool,
}

/// Whether a reminder still leaves: in time always; late only to a unit that has not answered, and then only the last.
pub fn still_leaves(reminder: Leaving, now: Timestamp) -> bool {
    let late = now - reminder.due_at > reminder.check_after;
    !late || (reminder.stopped_at.is_none() && !reminder.overtaken)
}

/// The message to the unit's deputy contact, after one to its duty contact or head could not be delivered.
pub fn fallback(assignment: Uuid, ladder: Uuid, rung: i32, target: Target) -> Option<(Uuid, Target)> {
    match target {
        Target::Duty | Target::Head => {
            let parts = [&ladder.to_string(), &rung.to_string(), "sms", Target::Deputy.word()];
            Some((foundation::id::named(assignment, &parts), Target::Deputy))
        }
        Target::Deputy | Target::DeputyMayor | Target::CentreHead => None,
    }
}

/// How long to wait after the given number of failed attempts: quickly at first, at most half a minute.
pub fn backoff(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(1, 8).cast_unsigned() - 1;
    TimeDelta::milliseconds(250 << doublings).min(TimeDelta::seconds(30))
}

/// A phone number as strangers may see it: `138****5678`.
pub fn masked(phone: &str) -> String {
    let length = phone.chars().count();
    let hidden = |index: usize| length < 8 || (3..length - 4).contains(&index);
    phone.chars().enumerate().map(|(index, c)| if hidden(index) { '*' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reminder(stopped: Option<i64>, overtaken: bool) -> Leaving {
        let stopped_at = stopped.map(|second| Timestamp::UNIX_EPOCH + TimeDelta::seconds(second));
        Leaving { due_at: Timestamp::UNIX_EPOCH, check_after: TimeDelta::seconds(60), stopped_at, overtaken }
    }

    #[test]
    fn a_reminder_in_time_leaves_whatever_has_happened_meanwhile() {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(60);
        assert!(still_leaves(reminder(Some(1), true), now));
    }

    #[test]
    fn a_late_reminder_leaves_only_to_a_unit_that_has_not_answered_and_only_the_last() {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(60) + TimeDelta::milliseconds(1);
        assert!(still_leaves(reminder(None, false), now));
        assert!(!still_leaves(reminder(Some(1), false), now));
        assert!(!still_leaves(reminder(None, true), now));
    }

    #[test]
    fn the_middle_of_a_number_is_hidden() {
        assert_eq!(masked("13812345678"), "138****5678");
        assert_eq!(masked("12345"), "*****");
    }
}
