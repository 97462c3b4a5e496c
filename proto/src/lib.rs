//! What the services say to each other.
//!
//! Commands and questions are the gRPC services below; what has happened are the events of [`events::v1`]. To add an event: write its
//! message in `events.proto`, one line in the table of `topology.rs`, one in the publisher's `announcements.rs`, and what it means to each
//! subscriber in its `wire/event.rs` and `subscriptions.rs`. Who may call an rpc stands in `access.rs`, the services in `services.rs`.

pub mod access;
pub mod services;
pub mod topology;

pub use services::SERVICES;
pub use topology::{Event, TOPOLOGY, Topic};

/// All files as an encoded `FileDescriptorSet`, options and comments included: for reflection and JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A request that changes something: it carries the caller's own id of the call and may be repeated safely with it. Every message
/// with a field `request_id` is one.
pub trait RequestId {
    /// UUID drawn by the caller.
    fn request_id(&self) -> &str;
}

include!(concat!(env!("OUT_DIR"), "/requests.rs"));

macro_rules! packages {
    ($($name:ident: $what:literal),*) => {$(
        #[doc = $what]
        pub mod $name {
            /// Version 1.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/haiqu.", stringify!($name), ".v1.rs"));
            }
        }
    )*};
}

packages!(
    common: "Words that several packages share.",
    events: "Events, and the log they are read from.",
    residents: "Who lives where.",
    grievances: "What people ask for.",
    dispatch: "Whistles, ladders, the directory, policies.",
    notifications: "Reminders by SMS, call tasks, alarms.",
    oversight: "Cases pushed to 阳光+.",
    ops: "What ops look after in every service: dead letters, holds, consumers."
);
