//! Domain event -> proto event and its audiences. What oversight publishes concerns the centre and the discipline inspection, who see
//! everything.

use foundation::base::{Context, Timestamp};
use foundation::log::{Announcement, Audiences};
use serde_json::json;

use crate::domain::case::{Case, Changed, Event};
use crate::wire::event as wire;

/// What others may learn of a change.
pub fn of(context: &Context, Changed { case, event: Event::Released, .. }: &Changed) -> Announcement {
    let data = json!({ "case": case.id, "state": case.state });
    Announcement::of(wire::released(case), &Audiences::default(), context).with_history("case_released", data)
}

/// 阳光+ confirmed a case.
pub fn pushed(context: &Context, case: &Case, at: Timestamp) -> Announcement {
    let data = json!({ "case": case.id, "state": case.state });
    Announcement::of(wire::pushed(case, at), &Audiences::default(), context).with_history("case_pushed", data)
}
