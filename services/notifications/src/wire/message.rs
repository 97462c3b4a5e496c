//! Messages.

use foundation::base::time::to_wire;
use foundation::base::{Violations, Wire as _};
use proto::notifications::v1;
use uuid::Uuid;

use crate::views::message::Row;

/// Of which assignment.
pub fn list(v: &mut Violations, request: &v1::ListMessagesRequest) -> Uuid {
    v.uuid("assignment_id", &request.assignment_id)
}

/// A message as a screen shows one.
pub fn shown(row: Row) -> v1::Message {
    v1::Message {
        effect_id: row.id.to_string(),
        assignment_id: row.assignment_id.to_string(),
        rung: row.rung,
        target: row.target.number(),
        state: row.state.number(),
        due_time: Some(to_wire(row.due_at)),
        accept_time: row.accepted_at.map(to_wire),
        deliver_time: row.delivered_at.map(to_wire),
        late_by_ms: row.accepted_at.map_or(0, |accepted| (accepted - row.due_at).num_milliseconds()),
        masked_phone: row.masked_phone.unwrap_or_default(),
    }
}
