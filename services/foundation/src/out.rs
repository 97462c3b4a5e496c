//! Everything that leaves the house: SMS, calls to be made, pushes, corrections. One mechanism, a [`Way`] for each.

pub mod http;
pub mod lease;
mod receipts;
mod sender;
pub mod store;
pub mod way;

pub use lease::Lease;
pub use receipts::{free_orphans, receipts};
pub use sender::deliver;
pub use store::{Enqueued, enqueue};
pub use way::{Ended, Found, Leased, Leave, Outcome, Sent, Way};
