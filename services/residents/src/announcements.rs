//! Domain -> proto event; the only such place.

use foundation::outbox::Announcement;
use proto::events::v1::ResidentRegistered;

use crate::domain::Resident;

/// A resident was registered; no name rides on the fact.
pub fn registered(resident: &Resident) -> Announcement {
    Announcement::of(&ResidentRegistered { resident_id: resident.id.to_string(), area: resident.area.clone() })
}
