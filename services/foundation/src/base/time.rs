//! Instants: UTC in storage and on the wire, Asia/Shanghai for people.

use chrono::{DateTime, FixedOffset, Utc};

/// An instant, always UTC.
pub type Timestamp = DateTime<Utc>;

/// The instant as a person in the district reads it: `11月23日 16:05`.
pub fn shown(at: Timestamp) -> String {
    at.with_timezone(&shanghai()).format("%-m月%-d日 %H:%M").to_string()
}

fn shanghai() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600)
        .unwrap_or(FixedOffset::east_opt(0).unwrap_or_else(|| unreachable!("zero is an offset")))
}

/// The instant on the wire.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

/// The instant from the wire; none when it is out of range.
pub fn from_wire(at: &prost_types::Timestamp) -> Option<Timestamp> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}
