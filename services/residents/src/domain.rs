//! What residents decides, pure.

pub mod resident;

use foundation::ids;

ids! {
    /// A resident.
    ResidentId,
}
