//! Journeys through all services, as separate processes, on real Postgres and NATS.

mod access;
mod bad_input;
mod drill;
mod json;
mod kills;
mod nats_away;
mod second_subscriber;
mod trace;
