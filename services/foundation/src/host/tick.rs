//! What a schedule is given: when to end, and in whose name it acts.

use crate::base::{Actor, Context, Stop};

/// Time passing, for one schedule.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Ends the schedule.
    pub stop: Stop,
    context: Context,
}

impl Tick {
    pub(super) fn new(stop: Stop) -> Tick {
        Tick { stop, context: Context::of_the_house(Actor::clock(), None) }
    }

    /// In whose name to do what is due: the clock's.
    pub fn context(&self) -> &Context {
        &self.context
    }
}
