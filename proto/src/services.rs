//! The services, once: crate, argument of the binary, client id, consumer and database of each have its name.

/// All of them, in the order in which they are shown.
pub const SERVICES: [&str; 5] = ["residents", "grievances", "dispatch", "notifications", "oversight"];
