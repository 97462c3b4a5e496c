//! The ways out: SMS, and calls that the desk must make.

pub mod call;
pub mod sms;
