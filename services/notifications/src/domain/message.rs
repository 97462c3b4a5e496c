//! Reminders by SMS: which still leave, and who gets the one that could not be delivered.

use foundation::base::{Timestamp, id};
use uuid::Uuid;

use super::Rung;
use super::Target;

/// A reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The effect's id.
    pub id: Uuid,
    /// What asks for it.
    pub rung: Rung,
    /// Which of the three texts.
    pub text: i32,
    /// To whom.
    pub target: Target,
}

/// What has happened meanwhile to a reminder that is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Meanwhile {
    /// When its ladder stopped.
    pub stopped_at: Option<Timestamp>,
    /// A later reminder of the same ladder to the same role exists.
    pub overtaken: bool,
}

impl Message {
    /// Whether it still leaves: in time always; late only to a unit that has not answered, and then only the last.
    pub fn still_leaves(&self, meanwhile: Meanwhile, now: Timestamp) -> bool {
        let late = now - self.rung.due_at > self.rung.check_after;
        !late || (meanwhile.stopped_at.is_none() && !meanwhile.overtaken)
    }

    /// The same to the unit's deputy contact, once it could not be delivered to the duty contact or the head.
    pub fn fallback(&self) -> Option<Message> {
        match self.target {
            Target::Duty | Target::Head => {
                let Rung { assignment, ladder, number, .. } = self.rung;
                let parts = [&ladder.to_string(), &number.to_string(), "sms", Target::Deputy.word()];
                Some(Message { id: id::named(assignment, &parts), target: Target::Deputy, ..*self })
            }
            Target::Deputy | Target::DeputyMayor | Target::CentreHead => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::Kind;

    fn leaves(stopped: Option<i64>, overtaken: bool, after: TimeDelta) -> bool {
        let due_at = Timestamp::UNIX_EPOCH;
        let (whistle, assignment, ladder) = (Uuid::nil(), Uuid::nil(), Uuid::nil());
        let check_after = TimeDelta::seconds(60);
        let rung =
            Rung { whistle, assignment, ladder, kind: Kind::Answer, number: 1, due_at, check_after, drill: false };
        let message = Message { id: Uuid::nil(), rung, text: 1, target: Target::Duty };
        let stopped_at = stopped.map(|second| due_at + TimeDelta::seconds(second));
        message.still_leaves(Meanwhile { stopped_at, overtaken }, due_at + after)
    }

    #[test]
    fn a_reminder_in_time_leaves_whatever_has_happened_meanwhile() {
        assert!(leaves(Some(1), true, TimeDelta::seconds(60)));
    }

    #[test]
    fn a_late_reminder_leaves_only_to_a_unit_that_has_not_answered_and_only_the_last() {
        let late = TimeDelta::milliseconds(60_001);
        assert!(leaves(None, false, late));
        assert!(!leaves(Some(1), false, late));
        assert!(!leaves(None, true, late));
    }
}
