//! What oversight refuses, as a caller is told it.

use foundation::base::{Refuse, Refused};

use crate::domain::case::Refusal;

/// Everything that can go wrong here.
pub type Error = foundation::base::Error<Refusal>;

impl Refuse for Refusal {
    fn refused(&self) -> Refused {
        match self {
            Refusal::NotHeld(state) => Refused::State("case", state.word()),
        }
    }
}
