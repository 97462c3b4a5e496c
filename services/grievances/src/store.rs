//! SQL that decides. `load` locks the row, so nobody moves between deciding and saving.

pub mod grievance;
pub mod photo;
