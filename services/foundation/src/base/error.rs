//! Why an operation fails, the same in every service; only what a domain refuses is its own. Each variant is mapped once to a status
//! (`call::status`) and once to a failure of a subscription (here).

use std::error::Error as StdError;

use super::chain::Chain;
use super::violations::Invalid;
use super::words::Unknown;

/// What a domain does not allow.
pub trait Refuse: StdError + Send + Sync + 'static {
    /// How a caller is told.
    fn refused(&self) -> Refused;
}

/// How a caller is told that something is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The state of something does not allow it: what, and its state.
    State(&'static str, &'static str),
    /// There is one already: a machine-readable reason.
    Exists(&'static str),
    /// A field, by its path in the request.
    Field(String),
    /// There is nothing of the kind.
    Missing,
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error<R: Refuse> {
    /// There is none, or none that the caller may know of.
    #[error("no {0}")]
    NotFound(String),
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The domain does not allow it now.
    #[error(transparent)]
    Refused(R),
    /// Somebody has changed it since it was read.
    #[error("it was changed meanwhile: read it again and repeat the change on what it is now")]
    Changed,
    /// What leaves the house must wait for ops.
    #[error("held after a restore: nothing leaves until ops releases it")]
    Held,
    /// An event or a peer's answer lacks what it must carry.
    #[error("{0} does not read")]
    Unreadable(&'static str),
    /// Another service refused or is away.
    #[error("another service")]
    Peer(#[from] Box<tonic::Status>),
    /// Something stored does not read.
    #[error("stored json")]
    Stored(#[from] serde_json::Error),
    /// Something outside of Postgres that is ours, for example the photo store.
    #[error("{0}")]
    Outside(&'static str, #[source] Box<dyn StdError + Send + Sync>),
    /// Postgres.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl<R: Refuse> From<R> for Error<R> {
    fn from(refusal: R) -> Error<R> {
        Error::Refused(refusal)
    }
}

impl<R: Refuse> Error<R> {
    /// There is none, or none that the caller may know of.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Error<R> {
        Error::NotFound(format!("{what} {id}"))
    }

    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, description: &str) -> Error<R> {
        Error::Invalid(Invalid::one(field, description))
    }

    /// Whether the same work would fail the same way again. A lost connection, a time-out or a deadlock is transient.
    pub fn is_permanent(&self) -> bool {
        match self {
            Error::NotFound(_)
            | Error::Invalid(_)
            | Error::Refused(_)
            | Error::Changed
            | Error::Unreadable(_)
            | Error::Stored(_) => true,
            Error::Held | Error::Peer(_) | Error::Outside(..) => false,
            Error::Database(error) => is_permanent(error),
        }
    }
}

/// Whether the same statement would fail the same way again: a broken constraint, a value that does not fit or does not read.
pub fn is_permanent(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

/// Whether somebody else held a lock for longer than is waited.
pub fn is_locked(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
}

impl From<Unknown> for sqlx::Error {
    fn from(unknown: Unknown) -> sqlx::Error {
        sqlx::Error::Decode(unknown.into())
    }
}

/// Why an event was not applied.
#[derive(Debug)]
pub enum Failure {
    /// Try again: what failed may be transient.
    Retry(Box<dyn StdError + Send + Sync>),
    /// Trying again would fail the same way: a dead letter for a person to look at.
    Park(String),
}

impl<R: Refuse> From<Error<R>> for Failure {
    fn from(error: Error<R>) -> Failure {
        match error.is_permanent() {
            true => Failure::Park(Chain(&error).to_string()),
            false => Failure::Retry(error.into()),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        match is_permanent(&error) {
            true => Failure::Park(Chain(&error).to_string()),
            false => Failure::Retry(error.into()),
        }
    }
}
