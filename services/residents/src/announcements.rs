//! Domain event -> proto event and its audiences.

use foundation::base::Context;
use foundation::log::{Announcement, Audiences};
use serde_json::json;

use crate::domain::resident::{Event, Resident};
use crate::wire::resident as wire;

/// What others may learn of a change.
pub fn of(context: &Context, resident: &Resident, events: &[Event]) -> Vec<Announcement> {
    let audiences = Audiences::default().area(&resident.area);
    let announced = events.iter().map(|event| match event {
        Event::Registered => Announcement::of(wire::registered_event(resident), &audiences, context)
            .with_history("registered", json!({ "area": resident.area })),
    });
    announced.collect()
}
