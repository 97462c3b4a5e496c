//! Enums whose cases are words in the database.

/// Declares an enum with one word a case, read and written as that word.
#[macro_export]
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$case_doc])* $case),*
        }

        impl $name {
            /// Every case.
            pub const ALL: &'static [$name] = &[$($name::$case),*];

            /// The word.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$case => $word),*
                }
            }

            /// The case of a word; the database's own check keeps other words out.
            pub fn of(word: &str) -> Result<$name, $crate::words::Unknown> {
                match word {
                    $($word => Ok($name::$case),)*
                    other => Err($crate::words::Unknown(other.to_owned())),
                }
            }
        }
    )*};
}

/// A word that no case has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown word `{0}`")]
pub struct Unknown(pub String);

impl From<Unknown> for sqlx::Error {
    fn from(unknown: Unknown) -> sqlx::Error {
        sqlx::Error::Decode(unknown.into())
    }
}
