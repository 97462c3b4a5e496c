//! Between the wire and the domain; nothing else knows both.

pub mod alarm;
pub mod call_task;
pub mod event;
pub mod message;
pub mod words;
