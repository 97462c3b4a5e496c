//! What a caller is told: one code, typed details (`google.rpc`), and what to do next.

use std::error::Error as StdError;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::base::error::is_locked;
use crate::base::{Chain, Error, Invalid, Refuse, Refused};

/// How long a caller does well to wait before it repeats a call that found no database.
const PAUSE: Duration = Duration::from_millis(500);
/// No more wrong fields are named at once.
const MANY: usize = 20;

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Status {
        let message = invalid.to_string();
        let named = invalid.0.into_iter().take(MANY);
        let fields: Vec<_> = named.map(|(field, description)| FieldViolation::new(field, description)).collect();
        Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(fields))
    }
}

impl<R: Refuse> From<Error<R>> for Status {
    fn from(error: Error<R>) -> Status {
        match error {
            Error::NotFound(_) => Status::not_found(error.to_string()),
            Error::Invalid(invalid) => invalid.into(),
            Error::Refused(refusal) => refused(&refusal),
            Error::Changed => Status::aborted(error.to_string()),
            Error::Held => wrong_state("hold", "held", &error.to_string()),
            Error::Peer(status) => *status,
            Error::Unreadable(_) | Error::Stored(_) | Error::Outside(..) | Error::Database(_) => internal(error),
        }
    }
}

fn refused(refusal: &impl Refuse) -> Status {
    let message = refusal.to_string();
    match refusal.refused() {
        Refused::State(what, state) => wrong_state(what, state, &message),
        Refused::Exists(reason) => already_exists(reason, &message),
        Refused::Field(field) => Invalid::one(field, &message).into(),
        Refused::Missing => Status::not_found(message),
    }
}

/// A caller learns that we failed and whether it may be transient, the log learns why.
pub fn internal(error: impl StdError + 'static) -> Status {
    tracing::error!(error = %Chain(&error), "a call failed");
    if is_away(&error) {
        let details = ErrorDetails::with_retry_info(Some(PAUSE));
        let message = "the service cannot work with its database now; repeat the call with the same request_id";
        return Status::with_error_details(Code::Unavailable, message, details);
    }
    Status::internal("the service failed; the call may be repeated with the same request_id")
}

/// Whether the database is away, or has more to do than it can: nothing is wrong with the call.
fn is_away(error: &(dyn StdError + 'static)) -> bool {
    let away = error.downcast_ref::<sqlx::Error>().is_some_and(|error| match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        error => is_locked(error),
    });
    away || error.source().is_some_and(is_away)
}

/// A call that the state of something does not allow, saying the state.
pub fn wrong_state(subject: &str, state: &str, message: &str) -> Status {
    let details = ErrorDetails::with_precondition_failure_violation("STATE", subject, format!("state is {state}"));
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Something that is there already, with a machine-readable reason.
pub fn already_exists(reason: &str, message: &str) -> Status {
    with_reason(Code::AlreadyExists, reason, message)
}

/// A status with a machine-readable reason.
pub fn with_reason(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "haiqu", std::collections::HashMap::<String, String>::new());
    Status::with_error_details(code, message, details)
}
