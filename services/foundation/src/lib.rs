//! What every service stands on, without a business word.
//!
//! Postgres is the log, NATS only makes it fast: a change and the event that tells of it commit together ([`log::outbox`]), each
//! subscriber applies an event together with its inbox row ([`log::inbox`]), and reads from the publishing service whatever NATS
//! did not bring ([`log::catch_up`]).
//!
//! The folders are layers: each imports only itself and those before it, which `tests/architecture.rs` holds.
//!
//! 1. [`base`]: words, ids, times, errors, who calls and what they may see; pure, the only part that a domain knows
//! 2. [`data`]: Postgres: pools, transactions, the clock, pages, history, what a restore leaves behind
//! 3. [`call`]: gRPC and JSON, both ways: who calls, limits, repeated requests, statuses
//! 4. [`log`]: the outbox and its relay, the inbox and catch-up, dead letters, the feed
//! 5. [`out`]: everything that leaves the house
//! 6. [`host`]: the process
//!
//! Admit a thing here only when a second service needs it for the same reason.

pub mod base;
pub mod call;
pub mod data;
pub mod host;
pub mod log;
pub mod out;

pub use futures::future::BoxFuture;
pub use host::Host;
