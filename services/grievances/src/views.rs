//! SQL that only reads, inside the caller's scope.

pub mod grievance;
