//! The fault matrix: the whole of Haiqu under a seeded load, broken on purpose from outside, and a judge that decides from what
//! the driver was told and the stand-ins received. To add a fault: a function in `strikes/`, a row in
//! `strikes.rs`.

pub mod after;
pub mod bugs;
mod calls;
pub mod checker;
pub mod disk;
pub mod driver;
pub mod due;
pub mod history;
pub mod matrix;
pub mod people;
pub mod proxy;
pub mod rig;
pub mod row;
pub mod strikes;
pub mod twins;
