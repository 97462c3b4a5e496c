//! Alarms.

use foundation::base::time::to_wire;
use foundation::base::{Violations, Wire as _};
use foundation::data::Page;
use proto::notifications::v1;
use uuid::Uuid;

use crate::views::alarm::Row;

/// Which page.
pub fn list(v: &mut Violations, request: &v1::ListAlarmsRequest) -> Page<Uuid> {
    Page::parse(v, request.page_size, &request.page_token, &"alarms")
}

/// An alarm as a screen shows one.
pub fn shown(row: Row) -> v1::Alarm {
    v1::Alarm {
        alarm_id: row.id.to_string(),
        reason: row.reason.number(),
        assignment_id: row.assignment_id.to_string(),
        text: row.text,
        create_time: Some(to_wire(row.created_at)),
    }
}
