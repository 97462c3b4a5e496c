//! Proto <-> domain, the only place that knows both.

pub mod resident;
