//! SQL that decides.

pub mod resident;
