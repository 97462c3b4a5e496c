//! Rungs that fired, and what they ask for.

use super::call_task;
use super::message::Message;

/// What a rung asks of this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Reminders.
    pub messages: Vec<Message>,
    /// Calls.
    pub calls: Vec<call_task::Asked>,
    /// Trace of what fired it.
    pub traceparent: Option<String>,
}
