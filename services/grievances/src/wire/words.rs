//! Which case of a proto enum each word is.

use foundation::wire_words;
use proto::common::v1 as common;
use proto::grievances::v1;

use crate::domain::{Difficulty, Outcome, Satisfaction, Stage, State};

wire_words! {
    State = v1::GrievanceState { Raised, Reviewed, Whistled, Handling, Submitted, Graded, Closed }
    Stage = common::ReviewStage { Duty, Difficulty, TimeLimit }
    Difficulty = common::Difficulty { Simple, Complex, Long, Hard, Neighbourly }
    Outcome = common::Outcome { Solved, PartlySolved, NotSolved }
    Satisfaction = common::Satisfaction { Satisfied, BasicallySatisfied, NotSatisfied }
}
