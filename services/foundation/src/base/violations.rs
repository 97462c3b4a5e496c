//! Reading a request: every field is checked, and all that is wrong is said at once (`google.rpc.BadRequest`).

use chrono::{Datelike as _, SubsecRound as _};
use uuid::Uuid;

use super::time::{self, Timestamp};
use super::words::Wire;

/// What is wrong with a request. Each check returns something usable; [`Violations::finish`] decides.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

/// Fields that are wrong, each with what it must be; never with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid: {}", self.0.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>().join(", "))]
pub struct Invalid(pub Vec<(String, String)>);

impl Invalid {
    /// One field.
    pub fn one(field: impl Into<String>, description: &str) -> Invalid {
        Invalid(vec![(field.into(), description.to_owned())])
    }

    /// The paths of the fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(field, _)| field.as_str())
    }
}

impl Violations {
    /// Notes that a field is wrong.
    pub fn add(&mut self, field: impl Into<String>, description: &str) {
        self.0.push((field.into(), description.to_owned()));
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

    /// A list of at most so many, each checked with its path.
    pub fn list<T, V>(
        &mut self,
        field: &str,
        list: &[T],
        count: std::ops::RangeInclusive<usize>,
        mut check: impl FnMut(&mut Violations, &str, &T) -> V,
    ) -> Vec<V> {
        self.require(
            count.contains(&list.len()),
            field,
            &format!("must have {} to {} entries", count.start(), count.end()),
        );
        let checked = list.iter().take(*count.end()).enumerate();
        checked.map(|(index, one)| check(self, &format!("{field}[{index}]"), one)).collect()
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

    /// The area that a list is limited to; empty for none.
    pub fn area_if_set(&mut self, field: &str, text: &str) -> String {
        if text.is_empty() { String::new() } else { self.area(field, text) }
    }

    /// A word, by its number on the wire.
    pub fn word<W: Wire>(&mut self, field: &str, number: i32) -> W {
        W::of_number(number).unwrap_or_else(|| {
            let names: Vec<_> = W::CASES.iter().map(|case| case.label().to_uppercase()).collect();
            self.add(field, &format!("must be one of {}", names.join(", ")));
            W::CASES[0]
        })
    }

    /// A word that may be absent.
    pub fn word_if_set<W: Wire>(&mut self, field: &str, number: i32) -> Option<W> {
        (number != 0).then(|| self.word(field, number))
    }

    /// An instant of our times, in microseconds as it is stored; others make date arithmetic overflow.
    pub fn time(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Timestamp {
        let of_our_times = |at: &Timestamp| (2000..2100).contains(&at.year());
        let stored = time.and_then(time::from_wire).map(|time| time.trunc_subsecs(6));
        stored.filter(of_our_times).unwrap_or_else(|| {
            self.add(field, "must be a timestamp of the years 2000 to 2099");
            Timestamp::UNIX_EPOCH
        })
    }

    /// A part that must be there.
    pub fn part<T: Default + Clone>(&mut self, field: &str, part: &Option<T>) -> T {
        part.clone().unwrap_or_else(|| {
            self.add(field, "must be set");
            T::default()
        })
    }

    /// Refuses the request if anything was wrong.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid(self.0)) }
    }
}
