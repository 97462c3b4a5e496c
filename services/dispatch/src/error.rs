//! Why an operation fails; each variant mapped once to a status and once to a failure of a subscription.

use foundation::db;
use foundation::inbox::Failure;
use foundation::rpc::{Violations, already_exists, internal, wrong_state};
use tonic::Status;

use crate::domain::GrievanceId;
use crate::domain::whistle::Refusal;

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
    /// One grievance has at most one open whistle.
    #[error("an open whistle over grievance {0} exists")]
    OpenAlready(GrievanceId),
    /// What leaves the house must wait for ops.
    #[error("dispatch is held after a restore: nothing leaves until ops releases it")]
    Held,
    /// Somebody else fired the rung: this transaction must not.
    #[error("a rung has fired already")]
    FiredAlready,
    /// Postgres.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A stored policy or evidence that does not read.
    #[error("stored json")]
    Stored(#[from] serde_json::Error),
}

impl Error {
    pub(crate) fn not_found(what: &str, id: impl std::fmt::Display) -> Error {
        Error::NotFound(format!("{what} {id}"))
    }
}

impl Error {
    /// Whether the same work would fail the same way again. A lost connection, a time-out or a deadlock passes.
    pub(crate) fn stays(&self) -> bool {
        match self {
            Error::NotFound(_)
            | Error::Refused(_)
            | Error::Invalid { .. }
            | Error::OpenAlready(_)
            | Error::FiredAlready
            | Error::Stored(_) => true,
            Error::Held => false,
            Error::Database(error) => db::stays(error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::NotFound(what) => Status::not_found(format!("no {what}")),
            Error::Refused(refusal) => refused(refusal),
            Error::Invalid { field, description } => {
                let mut violations = Violations::default();
                violations.add(field, description);
                violations.finish().err().unwrap_or_else(|| Status::invalid_argument(description))
            }
            Error::OpenAlready(_) => already_exists("WHISTLE_OPEN", &error.to_string()),
            Error::Held => wrong_state("hold", "held", &error.to_string()),
            error @ (Error::FiredAlready | Error::Database(_) | Error::Stored(_)) => internal(error),
        }
    }
}

fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Whistle(state) => wrong_state("whistle", state.word(), &refusal.to_string()),
        Refusal::Share(state) => wrong_state("assignment", state.word(), &refusal.to_string()),
        Refusal::NoCard => wrong_state("card", "absent", &refusal.to_string()),
        Refusal::Unknown => Status::not_found(refusal.to_string()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            error @ (Error::NotFound(_)
            | Error::Refused(_)
            | Error::Invalid { .. }
            | Error::OpenAlready(_)
            | Error::Stored(_)) => Failure::Park(error.to_string()),
            error @ (Error::FiredAlready | Error::Held) => Failure::Retry(error.into()),
            Error::Database(error) => error.into(),
        }
    }
}
