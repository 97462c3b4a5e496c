//! What every service stands on, without a business word.
//!
//! Postgres is the log, NATS only makes it fast: a change and the fact that tells of it commit together ([`outbox`]),
//! each hearer applies a fact together with its inbox row ([`inbox`]), and reads from the stating service whatever NATS
//! did not bring ([`catchup`]). Admit a thing here only when a third service needs it.

pub mod auth;
pub mod bus;
pub mod catchup;
pub mod clock;
pub mod config;
pub mod db;
pub mod dead_letters;
pub mod event_log;
pub mod health;
pub mod host;
pub mod housekeeping;
pub mod id;
pub mod inbox;
pub mod lease;
mod ops;
pub mod outbox;
pub mod page;
pub mod relay;
pub mod restore;
pub mod rpc;
pub mod telemetry;
pub mod words;

pub use futures::future::BoxFuture;
pub use host::Host;
