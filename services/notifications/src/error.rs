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
    /// A call is recorded already, or is none.
    #[error("the call task is {0}")]
    Task(&'static str),
    /// The link cannot be used, and why.
    #[error("{0}")]
    Link(&'static str),
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
            Error::Task(state) => wrong_state("call_task", state, &error.to_string()),
            Error::Link(why) => wrong_state("link", "unusable", why),
            Error::Peer(status) => *status,
            Error::Database(error) => internal(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            error @ (Error::NotFound(_) | Error::Unreadable(_) | Error::Task(_) | Error::Link(_)) => {
                Failure::Park(error.to_string())
            }
            Error::Peer(status) => Failure::Retry(status),
            Error::Database(error) => error.into(),
        }
    }
}
