//! SQL that decides or writes.

pub mod alarm;
pub mod call_task;
pub mod message;

/// A column of what is written in one statement.
fn column<'t, T, V>(of: &'t [T], value: impl Fn(&'t T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}
