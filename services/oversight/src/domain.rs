//! What oversight decides, pure, and every Chinese word of a timeline.

pub mod case;
pub mod correction;
pub mod texts;
pub mod timeline;

use foundation::words;

words! {
    /// State of a case.
    CaseState {
        /// On its way.
        Pending = "pending",
        /// Waits for the centre's release.
        Held = "held",
        /// 阳光+ gave a receipt.
        Pushed = "pushed",
        /// A drill: never leaves the house.
        Drill = "drill",
    }
    /// The card shown.
    Card {
        /// 黄牌
        Yellow = "yellow",
        /// 红牌
        Red = "red",
    }
}
