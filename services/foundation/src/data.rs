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
