//! Why an operation fails; each variant mapped once to a status and once to a failure of a subscription.

use foundation::inbox::Failure;
use foundation::rpc::{internal, wrong_state};
use tonic::Status;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("no {0}")]
    NotFound(String),
    /// A fact lacks what it must carry.
    #[error("the fact's {0} does not read")]
    Unreadable(&'static str),
    /// Only a held case can be released.
    #[error("the case is {0}, not held")]
    NotHeld(&'static str),
    /// Another service refused or is away.
    #[error("another service")]
    Peer(#[from] Box<Status>),
    /// Postgres.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::NotFound(what) => Status::not_found(format!("no {what}")),
            Error::Unreadable(what) => Status::internal(format!("{what} does not read")),
            Error::NotHeld(state) => wrong_state("case", state, &error.to_string()),
            Error::Peer(status) => *status,
            Error::Database(error) => internal(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            error @ (Error::NotFound(_) | Error::Unreadable(_) | Error::NotHeld(_)) => Failure::Park(error.to_string()),
            Error::Peer(status) => Failure::Retry(status),
            Error::Database(error) => error.into(),
        }
    }
}
