//! Postgres: pools, transactions, the clock, pages, history, and what a restore leaves behind.

pub mod clock;
pub mod db;
pub mod flush;
pub mod history;
pub mod page;
pub mod restore;
pub mod schema;

pub use db::{Db, Session};
pub use page::Page;
pub use schema::Schema;

/// A column of what is written in one statement.
pub fn column<'t, T, V>(of: &'t [T], value: impl Fn(&'t T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}
