//! A resident: registered once, for now.

use foundation::base::Timestamp;

use super::ResidentId;

/// Who lives where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Drawn for it.
    pub id: ResidentId,
    /// Area code.
    pub area: String,
    /// How the person wishes to be shown.
    pub display_name: String,
    /// Grows with every change.
    pub version: i64,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Somebody new.
    Register {
        /// Drawn for it.
        id: ResidentId,
        /// Area code.
        area: String,
        /// How the person wishes to be shown.
        display_name: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a new resident.
    Registered,
}

/// What has become of a resident.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it is now.
    pub resident: Resident,
    /// When.
    pub at: Timestamp,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id is somebody's.
    #[error("this resident is registered")]
    Registered,
}

/// What a command does to a resident, or to nobody yet.
pub fn decide(resident: Option<&Resident>, command: Command) -> Result<(Resident, Vec<Event>), Refusal> {
    match (command, resident) {
        (Command::Register { id, area, display_name }, None) => {
            Ok((Resident { id, area, display_name, version: 1 }, vec![Event::Registered]))
        }
        (Command::Register { .. }, Some(_)) => Err(Refusal::Registered),
    }
}
