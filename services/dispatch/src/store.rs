//! SQL that decides. `load` locks whistle, assignments by id, ladders and rungs, in this order, so nobody moves between
//! deciding and saving; the ladder loop, which knows no whistle, locks assignments only.

pub mod directory;
pub mod ladder;
pub mod policy;
pub mod whistle;

/// A column of what is written down.
fn column<'t, T, V>(of: &'t [T], value: impl Fn(&'t T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}
