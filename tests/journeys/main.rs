//! Journeys through all services, as separate processes, on real Postgres and NATS.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod access;
mod bad_input;
mod drill;
mod feed;
mod foreign;
mod held;
mod json;
mod kills;
mod nats_away;
mod second_subscriber;
mod trace;
