//! What dispatch refuses, as a caller is told it.

use foundation::base::{Refuse, Refused};

use crate::domain::command::Refusal;
use crate::domain::directory::ChangedMeanwhile;

/// Everything that can go wrong here.
pub type Error = foundation::base::Error<Refusal>;

impl Refuse for Refusal {
    fn refused(&self) -> Refused {
        match self {
            Refusal::Whistle(state) => Refused::State("whistle", state.word()),
            Refusal::Assignment(state) => Refused::State("assignment", state.word()),
            Refusal::NoCard => Refused::State("card", "absent"),
            Refusal::FiredAlready => Refused::State("rung", "fired"),
            Refusal::Unknown => Refused::Missing,
            Refusal::PastDeadline => Refused::Field("handle_due_time".into()),
            Refusal::OpenAlready(_) => Refused::Exists("WHISTLE_OPEN"),
        }
    }
}

impl From<ChangedMeanwhile> for Error {
    fn from(_: ChangedMeanwhile) -> Error {
        Error::Changed
    }
}
