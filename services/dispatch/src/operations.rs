//! One function a noun: load in scope, decide, save, publish with history; the caller of it commits.

pub mod directory;
pub mod ladder;
pub mod policy;
pub mod whistle;
