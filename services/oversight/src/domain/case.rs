//! Cases: opened by the rung that pushes, held where the platform itself was late, released by the centre.

use chrono::TimeDelta;
use foundation::base::Timestamp;
use uuid::Uuid;

use super::CaseState;

/// A case for 阳光+.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The effect's id.
    pub id: Uuid,
    /// Its whistle.
    pub whistle: Uuid,
    /// Its assignment.
    pub assignment: Uuid,
    /// Its ladder.
    pub ladder: Uuid,
    /// The unit.
    pub unit: Uuid,
    /// When its rung was due.
    pub due_at: Timestamp,
    /// First sent later than this it is the platform's fault.
    pub fault_after: TimeDelta,
    /// Its state.
    pub state: CaseState,
    /// Grows with every change.
    pub version: i64,
}

/// What has happened meanwhile to a case that is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Meanwhile {
    /// 阳光+ was offered it and did not take it; from then on a delay is the receiver's.
    pub offered: bool,
    /// The centre let it go.
    pub released: bool,
}

impl Case {
    /// Whether it leaves now or waits for the centre: the platform's own outage reports nobody by itself.
    pub fn leaves(&self, meanwhile: Meanwhile, now: Timestamp) -> bool {
        meanwhile.released || meanwhile.offered || now - self.due_at <= self.fault_after
    }

    /// What it is once 阳光+ has it. Nothing else changes it between its taking up and that: it is not held, so nobody can release it.
    pub fn pushed(&self) -> Case {
        Case { state: CaseState::Pushed, version: self.version + 1, ..*self }
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The centre lets a held case go.
    Release(Uuid),
}

impl Command {
    /// The case that it is about.
    pub fn id(&self) -> Uuid {
        match self {
            Command::Release(id) => *id,
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The centre let it go.
    Released,
}

/// What has become of a case.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it is now.
    pub case: Case,
    /// What has happened to it.
    pub event: Event,
    /// When.
    pub at: Timestamp,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not wait for the centre.
    #[error("the case is {}", .0.word())]
    NotHeld(CaseState),
}

/// What a command does to a case.
pub fn decide(case: &Case, command: Command) -> Result<(Case, Event), Refusal> {
    match (command, case.state) {
        (Command::Release(_), CaseState::Held) => {
            Ok((Case { state: CaseState::Pending, version: case.version + 1, ..*case }, Event::Released))
        }
        (Command::Release(_), other @ (CaseState::Pending | CaseState::Pushed | CaseState::Drill)) => {
            Err(Refusal::NotHeld(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(state: CaseState) -> Case {
        let [id, whistle, assignment, ladder, unit] = [Uuid::nil(); 5];
        let (due_at, fault_after) = (Timestamp::UNIX_EPOCH, TimeDelta::minutes(5));
        Case { id, whistle, assignment, ladder, unit, due_at, fault_after, state, version: 1 }
    }

    fn leaves(offered: bool, released: bool, after: TimeDelta) -> bool {
        case(CaseState::Pending).leaves(Meanwhile { offered, released }, Timestamp::UNIX_EPOCH + after)
    }

    #[test]
    fn a_case_leaves_by_itself_until_the_bound_and_waits_after_it() {
        assert!(leaves(false, false, TimeDelta::minutes(5)));
        assert!(!leaves(false, false, TimeDelta::milliseconds(300_001)));
    }

    #[test]
    fn a_released_case_leaves_and_so_does_one_that_the_receiver_delays() {
        assert!(leaves(false, true, TimeDelta::days(1)) && leaves(true, false, TimeDelta::days(1)));
    }

    #[test]
    fn only_a_held_case_is_released() {
        let (released, event) = decide(&case(CaseState::Held), Command::Release(Uuid::nil())).unwrap();
        assert_eq!((released.state, released.version, event), (CaseState::Pending, 2, Event::Released));
        for other in [CaseState::Pending, CaseState::Pushed, CaseState::Drill] {
            assert_eq!(decide(&case(other), Command::Release(Uuid::nil())), Err(Refusal::NotHeld(other)));
        }
    }
}
