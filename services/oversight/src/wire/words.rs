//! Which case of a proto enum each word is.

use foundation::wire_words;
use proto::common::v1 as common;
use proto::oversight::v1;

use crate::domain::{Card, CaseState};

wire_words! {
    Card = common::Card { Yellow, Red }
    CaseState = v1::CaseState { Pending, Held, Pushed, Drill }
}
