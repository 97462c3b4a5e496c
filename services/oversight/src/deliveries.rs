//! The ways out, both to 阳光+: cases, and corrections after them.

pub mod correction;
pub mod push;
