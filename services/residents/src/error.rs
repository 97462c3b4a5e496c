//! Why an operation fails; each variant mapped once to a status and once to a failure of a subscription.

use foundation::inbox::Failure;
use foundation::rpc::internal;
use tonic::Status;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("no {0}")]
    NotFound(String),
    /// Postgres.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::NotFound(what) => Status::not_found(format!("no {what}")),
            Error::Database(error) => internal(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            error @ Error::NotFound(_) => Failure::Park(error.to_string()),
            Error::Database(error) => error.into(),
        }
    }
}
