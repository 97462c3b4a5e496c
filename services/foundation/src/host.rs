//! The process: start, health, telemetry, what is cleaned up, what ops look after, the order of stopping.

pub mod health;
mod holds;
pub mod housekeeping;
mod ops;
pub mod process;
mod telemetry;
pub mod tick;

pub use process::Host;
pub use tick::Tick;
