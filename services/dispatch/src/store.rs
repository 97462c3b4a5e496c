//! SQL that decides. `load` locks the whistle and then the assignments that the command is about, by id, so nobody moves between deciding
//! and saving: their ladders and rungs are guarded by them. The ladder loop, which knows no whistle, locks assignments only.

pub mod directory;
pub mod ladder;
pub mod policy;
pub mod whistle;

use foundation::data::column;
