//! Reading a request: every field is checked, and all that is wrong is said at once (`google.rpc.BadRequest`).

use chrono::{Datelike as _, SubsecRound as _};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use uuid::Uuid;

use crate::clock::{self, Timestamp};

/// What is wrong with a request. Each check returns something usable; [`Violations::finish`] decides.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes that a field is wrong.
    pub fn add(&mut self, field: impl Into<String>, description: &str) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// Notes that a field is wrong unless the condition holds.
    pub fn require(&mut self, holds: bool, field: &str, description: &str) {
        if !holds {
            self.add(field, description);
        }
    }

    /// A UUID.
    pub fn uuid(&mut self, field: &str, text: &str) -> Uuid {
        let parsed = Uuid::parse_str(text).ok().filter(|id| !id.is_nil());
        parsed.unwrap_or_else(|| {
            self.add(field, "must be a UUID, for example 0198c0de-0000-7000-8000-000000000001");
            Uuid::nil()
        })
    }

    /// Text of some length in characters, without control characters other than line ends.
    pub fn text(&mut self, field: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> String {
        let text = text.trim();
        if !length.contains(&text.chars().count()) {
            self.add(field, &format!("must be {} to {} characters", length.start(), length.end()));
        } else if text.chars().any(|c| c.is_control() && c != '\n') {
            self.add(field, "must not contain control characters");
        }
        text.to_owned()
    }

    /// An area code: the national 6 digits of a district, and 3 more for each level below, 18 at most.
    pub fn area(&mut self, field: &str, text: &str) -> String {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        self.require(digits && (6..=18).contains(&text.len()), field, "must be an area code of 6 to 18 digits");
        text.to_owned()
    }

    /// An instant of our times, in microseconds as it is stored; others make date arithmetic overflow.
    pub fn time(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Timestamp {
        let of_our_times = |at: &Timestamp| (2000..2100).contains(&at.year());
        let stored = time.and_then(clock::from_wire).map(|time| time.trunc_subsecs(6));
        stored.filter(of_our_times).unwrap_or_else(|| {
            self.add(field, "must be a timestamp of the years 2000 to 2099");
            Timestamp::UNIX_EPOCH
        })
    }

    /// A part that must be there.
    pub fn part<T: Default>(&mut self, field: &str, part: Option<T>) -> T {
        part.unwrap_or_else(|| {
            self.add(field, "must be set");
            T::default()
        })
    }

    /// Refuses the request if anything was wrong.
    pub fn finish(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let fields: Vec<_> = self.0.iter().map(|violation| violation.field.as_str()).collect();
        let message = format!("invalid: {}", fields.join(", "));
        Err(Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(self.0)))
    }
}
