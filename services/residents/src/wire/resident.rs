//! Residents.

use foundation::base::time::to_wire;
use foundation::base::{Violations, id};
use foundation::data::Page;
use proto::events::v1 as events;
use proto::residents::v1;
use uuid::Uuid;

use crate::domain::ResidentId;
use crate::domain::resident::{Changed, Command, Resident};
use crate::views::resident::Row;

/// A resident to be registered.
pub fn register(v: &mut Violations, request: &v1::RegisterResidentRequest) -> Command {
    Command::Register {
        id: ResidentId(id::new()),
        area: v.area("area", &request.area),
        display_name: v.text("display_name", &request.display_name, 1..=50),
    }
}

/// What a command answers.
pub fn registered(changed: &Changed) -> v1::RegisterResidentResponse {
    v1::RegisterResidentResponse {
        resident_id: changed.resident.id.to_string(),
        version: changed.resident.version,
        create_time: Some(to_wire(changed.at)),
    }
}

/// Which resident.
pub fn key(v: &mut Violations, request: &v1::GetResidentRequest) -> ResidentId {
    ResidentId(v.uuid("resident_id", &request.resident_id))
}

/// Of which area, and which page.
pub fn list(v: &mut Violations, request: &v1::ListResidentsRequest) -> (String, Page<Uuid>) {
    let area = v.area_if_set("area", &request.area);
    let page = Page::parse(v, request.page_size, &request.page_token, &("residents", &area));
    (area, page)
}

/// A resident as a screen shows one.
pub fn shown(row: Row) -> v1::Resident {
    v1::Resident {
        resident_id: row.id.to_string(),
        area: row.area,
        display_name: row.display_name,
        create_time: Some(to_wire(row.created_at)),
    }
}

/// The event; no name rides on it.
pub fn registered_event(resident: &Resident) -> events::ResidentRegistered {
    events::ResidentRegistered {
        resident_id: resident.id.to_string(),
        area: resident.area.clone(),
        version: resident.version,
        actor: None,
    }
}
