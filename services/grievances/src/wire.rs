//! Proto <-> domain, the only place that knows both.

pub mod event;
pub mod grievance;
pub mod photo;
mod words;
