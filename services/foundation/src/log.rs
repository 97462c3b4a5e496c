//! What is published and what is received: the outbox and its relay, NATS, the inbox and catch-up, dead letters, the feed.

pub mod audience;
pub mod bus;
pub mod catch_up;
pub mod cursor;
pub mod dead_letters;
pub mod entry;
pub mod envelope;
pub mod event_log;
pub mod feed;
pub mod inbox;
pub mod outbox;
pub mod relay;
pub mod routes;
pub(crate) mod tail;

pub use audience::Audiences;
pub use bus::Bus;
pub use entry::Entry;
pub use envelope::{Envelope, Received};
pub use feed::Feed;
pub use outbox::{Announcement, publish};
pub use routes::Routes;
