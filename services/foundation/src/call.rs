//! gRPC and JSON, both ways: who calls, every limit, repeated requests, statuses.

pub mod auth;
pub mod calls;
pub mod client;
pub mod http;
mod json;
mod json_stream;
mod once;
mod replicas;
mod request;
pub mod server;
pub mod status;

pub use auth::{Admitted, Auth};
pub use calls::{Answer, Calls, Run};
pub use client::Peer;
pub use request::Call;
pub use server::{MESSAGE_LIMIT, Server};
