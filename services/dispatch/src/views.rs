//! SQL that only reads, inside the caller's scope.

pub mod assignment;
pub mod directory;
pub mod policy;
pub mod whistle;
