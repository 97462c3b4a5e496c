//! Timelines.

use foundation::base::time::to_wire;
use proto::oversight::v1;

use crate::domain::texts;
use crate::views::timeline::Row;

/// A line as a person reads it.
pub fn shown(row: &Row) -> v1::TimelineEntry {
    v1::TimelineEntry { occurred_time: Some(to_wire(row.at)), text: texts::happening(row.happening) }
}
