//! Corrections: a case that went out, or may have, and one of whose cards the centre annulled.

use foundation::base::id;
use uuid::Uuid;

use super::Card;

/// A card of an assignment was annulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annulled {
    /// The assignment.
    pub assignment: Uuid,
    /// Which card.
    pub card: Card,
    /// What the annulment is known by: its ladder and rung.
    pub name: String,
    /// Trace of what announced it.
    pub traceparent: Option<String>,
}

/// What is sent after a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Named by case and annulment.
    pub id: Uuid,
    /// The case.
    pub case: Uuid,
    /// Its assignment.
    pub assignment: Uuid,
    /// Its ladder.
    pub ladder: Uuid,
    /// The annulled card.
    pub card: Card,
}

impl Annulled {
    /// The correction of a case.
    pub fn correction(&self, case: Uuid, ladder: Uuid) -> Correction {
        let id = id::named(case, &["correction", &self.name]);
        Correction { id, case, assignment: self.assignment, ladder, card: self.card }
    }
}
