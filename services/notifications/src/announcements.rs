//! Domain event -> proto event and its audiences. What notifications publishes concerns the centre, which sees everything.

use foundation::base::{Context, Timestamp};
use foundation::log::{Announcement, Audiences};
use serde_json::json;

use crate::domain::call_task::{Changed, Event};
use crate::domain::message::Message;
use crate::wire::event as wire;

/// The gateway took a reminder over. Its history is its delivery's row.
pub fn accepted(context: &Context, message: &Message, at: Timestamp) -> Announcement {
    Announcement::of(wire::accepted(message, at), &Audiences::default(), context)
}

/// A call was made and recorded.
pub fn recorded(context: &Context, Changed { task, event: Event::Recorded(record), .. }: &Changed) -> Announcement {
    let data = json!({ "call_task": task.id, "state": task.state, "callee": task.callee, "rung": task.rung });
    Announcement::of(wire::recorded(task, record), &Audiences::default(), context).with_history("call_recorded", data)
}
