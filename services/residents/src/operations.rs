//! One function a noun: load in scope, decide, save, publish, history; the caller of it commits.

pub mod resident;
