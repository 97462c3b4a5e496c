//! Enums whose cases are words in the database, and numbers on the wire.

/// Declares an enum with one word a case: read from Postgres and JSON, and written there, as that word.
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
            pub fn of(word: &str) -> Result<$name, $crate::base::words::Unknown> {
                match word {
                    $($word => Ok($name::$case),)*
                    other => Err($crate::base::words::Unknown(other.to_owned())),
                }
            }
        }

        $crate::stored_words!($name);
    )*};
}

/// How a word is read from Postgres, and read from and written to JSON.
#[doc(hidden)]
#[macro_export]
macro_rules! stored_words {
    ($name:ident) => {
        impl $crate::base::words::store::Type<$crate::base::words::store::Postgres> for $name {
            fn type_info() -> $crate::base::words::store::PgTypeInfo {
                <&str as $crate::base::words::store::Type<$crate::base::words::store::Postgres>>::type_info()
            }

            fn compatible(ty: &$crate::base::words::store::PgTypeInfo) -> bool {
                <&str as $crate::base::words::store::Type<$crate::base::words::store::Postgres>>::compatible(ty)
            }
        }

        impl<'r> $crate::base::words::store::Decode<'r, $crate::base::words::store::Postgres> for $name {
            fn decode(
                value: $crate::base::words::store::PgValueRef<'r>,
            ) -> Result<$name, $crate::base::words::store::BoxDynError> {
                let word =
                    <&str as $crate::base::words::store::Decode<$crate::base::words::store::Postgres>>::decode(value)?;
                Ok($name::of(word)?)
            }
        }

        impl $crate::base::words::store::PgHasArrayType for $name {
            fn array_type_info() -> $crate::base::words::store::PgTypeInfo {
                <&str as $crate::base::words::store::PgHasArrayType>::array_type_info()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                $name::of(&word).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// What [`words!`] names in the crates that use it.
#[doc(hidden)]
pub mod store {
    pub use sqlx::error::BoxDynError;
    pub use sqlx::postgres::{PgHasArrayType, PgTypeInfo, PgValueRef};
    pub use sqlx::{Decode, Postgres, Type};
}

/// A word that no case has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown word `{0}`")]
pub struct Unknown(pub String);

/// A word that has a number on the wire.
pub trait Wire: Copy + 'static {
    /// Every case.
    const CASES: &'static [Self];

    /// The word.
    fn label(self) -> &'static str;

    /// Its number.
    fn number(self) -> i32;

    /// The case with this number; none for 0, which is "unspecified" everywhere, and for what is another release's or another's
    /// business.
    fn of_number(number: i32) -> Option<Self> {
        Self::CASES.iter().copied().find(|case| case.number() == number)
    }
}

/// The number of a word that may be absent.
pub fn number<W: Wire>(word: Option<W>) -> i32 {
    word.map_or(0, W::number)
}

/// Says which case of a proto enum each word is: in `wire`, the only place that knows both.
#[macro_export]
macro_rules! wire_words {
    ($($name:ty = $wire:ty { $($case:ident),* $(,)? })*) => {$(
        impl $crate::base::Wire for $name {
            const CASES: &'static [$name] = <$name>::ALL;

            fn label(self) -> &'static str {
                self.word()
            }

            fn number(self) -> i32 {
                match self {
                    $(<$name>::$case => <$wire>::$case as i32),*
                }
            }
        }
    )*};
}
