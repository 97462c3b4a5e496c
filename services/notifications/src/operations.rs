//! One function a noun: load, decide, save, publish; the caller of it commits. What leaves the house leaves between two transactions
//! (`deliveries`).

pub mod call_task;
pub mod link;
pub mod rung;
