//! What grievances refuses, as a caller is told it.

use foundation::base::{Refuse, Refused};

use crate::domain::grievance::Refusal;

/// Everything that can go wrong here.
pub type Error = foundation::base::Error<Refusal>;

impl Refuse for Refusal {
    fn refused(&self) -> Refused {
        match self {
            Refusal::State(state) => Refused::State("grievance", state.word()),
            Refusal::Stage(next) => Refused::State("review", next.word()),
            Refusal::NoUnit => Refused::State("review", "no unit named"),
            Refusal::PastDeadline => Refused::Field("time_limit.handle_due_time".into()),
            Refusal::AnotherResident => Refused::Field("resident_id".into()),
            Refusal::NoSource => Refused::Field("source".into()),
            Refusal::SourceUsed => Refused::Exists("SOURCE_ID_USED"),
            Refusal::OtherArea | Refusal::Unknown => Refused::Missing,
        }
    }
}
