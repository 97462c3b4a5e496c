//! SQL that only reads, for whoever asks: what a screen shows, in the caller's scope. All of it is the centre's and the whole district's, so
//! a scope that is not everything sees nothing.

pub mod alarm;
pub mod call_task;
pub mod message;
