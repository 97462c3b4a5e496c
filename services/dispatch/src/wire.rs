//! Proto <-> domain, the only place that knows both.

pub mod directory;
pub mod event;
pub mod policy;
pub mod whistle;
mod words;
