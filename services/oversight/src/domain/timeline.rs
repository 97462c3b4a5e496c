//! What has happened to whistles, as data; it is worded (`texts`) when somebody reads it. Rows of every release are read for ever: a
//! variant keeps its name, and a new field has `serde(default)`.

use foundation::base::{Timestamp, id};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Card;

/// A line of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Named by what happened: written once.
    pub id: Uuid,
    /// The whistle.
    pub whistle: Uuid,
    /// The assignment; none for what concerns them all.
    pub assignment: Option<Uuid>,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub happening: Happening,
}

impl Line {
    /// Under a name that the same happening always has.
    pub fn new(whistle: Uuid, assignment: Option<Uuid>, at: Timestamp, happening: Happening, name: &str) -> Line {
        let of = assignment.map(|id| id.to_string()).unwrap_or_default();
        Line { id: id::named(whistle, &[&of, name]), whistle, assignment, at, happening }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A whistle was blown on so many units.
    Blown {
        /// How many.
        units: usize,
    },
    /// A rung fired.
    RungFired {
        /// From 1.
        number: i32,
        /// The card that it shows.
        card: Option<Card>,
        /// Whether it is the one that goes to 阳光+.
        push: bool,
        /// The platform itself was late.
        platform_fault: bool,
    },
    /// The gateway took a reminder over.
    Reminded {
        /// The rung.
        rung: i32,
    },
    /// A call was made and recorded.
    Called {
        /// The rung.
        rung: i32,
    },
    /// 应哨
    Answered,
    /// 交卷
    Submitted,
    /// The centre annulled a card.
    CardAnnulled {
        /// Which.
        card: Card,
    },
    /// The street took the whistle back.
    Withdrawn,
    /// Every assignment is closed.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As they were written once: lines are added here, and none is changed.
    #[test]
    fn rows_of_every_release_are_read() {
        let fired = Happening::RungFired { number: 2, card: Some(Card::Yellow), push: false, platform_fault: false };
        for (kept, happening) in [
            (r#"{"kind":"blown","units":2}"#, Happening::Blown { units: 2 }),
            (r#"{"kind":"rung_fired","number":2,"card":"yellow","push":false,"platform_fault":false}"#, fired),
            (r#"{"kind":"reminded","rung":1}"#, Happening::Reminded { rung: 1 }),
            (r#"{"kind":"called","rung":3}"#, Happening::Called { rung: 3 }),
            (r#"{"kind":"answered"}"#, Happening::Answered),
            (r#"{"kind":"submitted"}"#, Happening::Submitted),
            (r#"{"kind":"card_annulled","card":"red"}"#, Happening::CardAnnulled { card: Card::Red }),
            (r#"{"kind":"withdrawn"}"#, Happening::Withdrawn),
            (r#"{"kind":"closed"}"#, Happening::Closed),
        ] {
            assert_eq!(serde_json::from_str::<Happening>(kept).unwrap(), happening);
            assert_eq!(
                serde_json::to_string(&happening).unwrap(),
                kept,
                "what is written now is among what was written"
            );
        }
    }
}
