//! Which case of a proto enum each word is.

use foundation::wire_words;
use proto::common::v1 as common;
use proto::dispatch::v1;

use crate::domain::{AssignmentState, Card, Difficulty, Kind, Outcome, Role, Target, WhistleState};

wire_words! {
    Card = common::Card { Yellow, Red }
    Kind = common::LadderKind { Answer, Handling }
    Target = common::TargetRole { Duty, Head, Deputy, DeputyMayor, CentreHead, OversightPlatform }
    Role = common::AssignmentRole { Lead, Supporting }
    Difficulty = common::Difficulty { Complex, Long, Hard }
    Outcome = common::Outcome { Solved, PartlySolved, NotSolved }
    WhistleState = v1::WhistleState { Open, Closed, Withdrawn }
    AssignmentState = v1::AssignmentState { Whistled, Answered, Submitted, Closed, Withdrawn }
}
