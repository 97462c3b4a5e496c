//! Domain -> proto event; the only such place.

use foundation::clock::{Timestamp, to_wire};
use foundation::outbox::Announcement;
use proto::events::v1::CasePushed;
use uuid::Uuid;

/// 阳光+ confirmed a case.
pub fn pushed(case: Uuid, whistle: Uuid, assignment: Uuid, at: Timestamp) -> Announcement {
    Announcement::of(&CasePushed {
        case_id: case.to_string(),
        whistle_id: whistle.to_string(),
        assignment_id: assignment.to_string(),
        received_at: Some(to_wire(at)),
    })
}
