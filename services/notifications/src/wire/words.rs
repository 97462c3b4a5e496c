//! Which case of a proto enum each word is.

use foundation::wire_words;
use proto::common::v1 as common;
use proto::notifications::v1;

use crate::domain::{AlarmReason, CallTaskState, Card, Kind, MessageState, Target};

wire_words! {
    Card = common::Card { Yellow, Red }
    Kind = common::LadderKind { Answer, Handling }
    Target = common::TargetRole { Duty, Head, Deputy, DeputyMayor, CentreHead }
    MessageState = v1::MessageState {
        Queued, Sending, Accepted, Delivered, Failed, Unknown, Superseded, NoContact, Drill
    }
    CallTaskState = v1::CallTaskState { Open, Recorded, Drill }
    AlarmReason = v1::AlarmReason { NoContact, NotDelivered, NoReceipt }
}
