//! Ids: drawn ones sort by time, named ones are the same wherever they are computed.

use uuid::Uuid;

/// A new id (UUIDv7).
pub fn new() -> Uuid {
    Uuid::now_v7()
}

/// The id of a thing that is known by its parts (UUIDv5): the same parts give the same id everywhere.
pub fn named(space: Uuid, parts: &[&str]) -> Uuid {
    Uuid::new_v5(&space, parts.join("/").as_bytes())
}

/// Declares id types that cannot be mistaken for one another.
#[macro_export]
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub uuid::Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
