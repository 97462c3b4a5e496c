//! How a stand-in behaves: as it should, or as outside systems do on bad days.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// How requests are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// As they should be.
    #[default]
    Good,
    /// Taken, and never answered.
    SilentAfter,
    /// Taken, and answered with a failure.
    FailsAfter,
    /// Answered with a failure, and not taken.
    FailsBefore,
    /// Taken, and answered after half a minute.
    Slow,
    /// Every second one is turned away: too many.
    Limited,
    /// Taken and answered; the receipt says later that it could not be delivered.
    Undeliverable,
}

/// What a stand-in's mood makes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Taken and answered.
    Good,
    /// Turned away.
    TurnedAway,
    /// Turned away: too many.
    TooMany,
    /// Taken; the answer comes after this time, or is a failure when there is none.
    Ambiguous(Option<Duration>),
}

/// The mood of one stand-in, and whom it has hit.
#[derive(Debug, Clone, Default)]
pub struct Moods(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    mood: Mood,
    /// While it was limited.
    asked: u64,
    spoiled: u64,
    ambiguous: HashSet<Uuid>,
    turned_away: HashMap<Uuid, DateTime<Utc>>,
    undeliverable: HashMap<Uuid, DateTime<Utc>>,
}

impl Moods {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on.
    pub fn set(&self, mood: Mood) {
        self.inner().mood = mood;
    }

    /// Requests that were not answered as they should have been.
    pub fn spoiled(&self) -> u64 {
        self.inner().spoiled
    }

    /// Ids whose sender could not know that they were taken.
    pub fn ambiguous(&self) -> HashSet<Uuid> {
        self.inner().ambiguous.clone()
    }

    /// Ids that were turned away, and when each was first.
    pub fn turned_away(&self) -> HashMap<Uuid, DateTime<Utc>> {
        self.inner().turned_away.clone()
    }

    /// Ids that were taken and cannot be delivered, and since when.
    pub fn undeliverable(&self) -> HashMap<Uuid, DateTime<Utc>> {
        self.inner().undeliverable.clone()
    }

    /// What happens to this request.
    pub fn fate(&self, id: Uuid) -> Fate {
        let mut inner = self.inner();
        let fate = match inner.mood {
            Mood::Good => return Fate::Good,
            Mood::Limited => {
                inner.asked += 1;
                if inner.asked.is_multiple_of(2) {
                    return Fate::Good;
                }
                Fate::TooMany
            }
            Mood::Undeliverable => {
                inner.undeliverable.entry(id).or_insert_with(crate::now);
                Fate::Good
            }
            Mood::FailsBefore => Fate::TurnedAway,
            Mood::FailsAfter => Fate::Ambiguous(None),
            Mood::SilentAfter => Fate::Ambiguous(Some(Duration::from_secs(3600))),
            Mood::Slow => Fate::Ambiguous(Some(Duration::from_secs(30))),
        };
        inner.spoiled += 1;
        match fate {
            Fate::Ambiguous(_) => {
                inner.ambiguous.insert(id);
            }
            Fate::TurnedAway | Fate::TooMany => {
                inner.turned_away.entry(id).or_insert_with(crate::now);
            }
            Fate::Good => {}
        }
        fate
    }
}
