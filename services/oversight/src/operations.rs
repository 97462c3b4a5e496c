//! One function a noun: load, decide, save, publish; the caller of it commits. What leaves the house leaves between two transactions
//! (`deliveries`).

pub mod case;
pub mod correction;
pub mod timeline;
