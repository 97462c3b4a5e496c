//! What residents decides, pure. Registration refuses nothing that parsing lets through, so there is only the record.

use uuid::Uuid;

/// A resident about to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Drawn for it.
    pub id: Uuid,
    /// Area code.
    pub area: String,
    /// How the person wishes to be shown.
    pub display_name: String,
}
