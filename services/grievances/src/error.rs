//! Why an operation fails; each variant mapped once to a status and once to a failure of a subscription.

use foundation::inbox::Failure;
use foundation::rpc::{Violations, already_exists, internal, wrong_state};
use tonic::Status;

use crate::domain::Refusal;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("no {0}")]
    NotFound(String),
    /// The loop does not allow it now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A field names something that does not exist.
    #[error("{field} {description}")]
    Invalid {
        /// Its path in the request.
        field: String,
        /// What is wrong.
        description: &'static str,
    },
    /// The source has handed this number in before.
    #[error("the source has handed {0} in before")]
    Duplicate(String),
    /// A fact lacks what it must carry.
    #[error("the fact's {0} does not read")]
    Unreadable(&'static str),
    /// The object store.
    #[error("photo store")]
    Photos(#[from] object_store::Error),
    /// Postgres.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::NotFound(what) => Status::not_found(format!("no {what}")),
            Error::Refused(Refusal::State(state)) => wrong_state("grievance", state.word(), &error.to_string()),
            Error::Refused(Refusal::Stage(next)) => wrong_state("review", next, &error.to_string()),
            Error::Refused(Refusal::NoUnit) => wrong_state("review", "no unit named", &error.to_string()),
            Error::Refused(Refusal::Past) => invalid("time_limit.handle_by".into(), "must be in the future"),
            Error::Invalid { field, description } => invalid(field, description),
            Error::Duplicate(_) => already_exists("SOURCE_ID_USED", &error.to_string()),
            Error::Unreadable(what) => Status::internal(format!("{what} does not read")),
            Error::Photos(error) => internal(error),
            Error::Database(error) => internal(error),
        }
    }
}

fn invalid(field: String, description: &str) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description);
    violations.finish().err().unwrap_or_else(|| Status::invalid_argument(description))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            error @ (Error::NotFound(_)
            | Error::Refused(_)
            | Error::Invalid { .. }
            | Error::Duplicate(_)
            | Error::Unreadable(_)) => Failure::Park(error.to_string()),
            Error::Photos(error) => Failure::Retry(error.into()),
            Error::Database(error) => error.into(),
        }
    }
}
