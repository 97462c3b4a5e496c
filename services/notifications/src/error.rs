//! What notifications refuses, as a caller is told it.

use foundation::base::{Refuse, Refused};

use crate::domain::call_task::Refusal;
use crate::domain::link::Unusable;

/// Everything that can go wrong here.
pub type Error = foundation::base::Error<Refusal>;

impl Refuse for Refusal {
    fn refused(&self) -> Refused {
        match self {
            Refusal::NotOpen(state) => Refused::State("call_task", state.word()),
            Refusal::Link(Unusable::Invalid) => Refused::State("link", "unusable"),
            Refusal::Link(Unusable::Used) => Refused::State("link", "used"),
        }
    }
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Error {
        Refusal::Link(unusable).into()
    }
}
