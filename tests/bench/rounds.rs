//! Every number of stored whistles has servers of its own, and all are measured one after the other, in several rounds: what differs
//! between them in a round is not the hour. Who is not being measured stands still.

use std::time::Duration;

use local::stack::Stack;

use crate::Scale;
use crate::process::all;

/// Longer than it takes whoever stood still for minutes to find NATS and the others again.
const AWAKE: Duration = Duration::from_secs(10);

/// The scales in the order of this round: every other one goes backwards, so that a machine that gets slower does not pass for growth.
pub fn order<T>(round: u32, scales: &mut [T]) -> Vec<&mut T> {
    let mut order: Vec<_> = scales.iter_mut().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Its services stand still while others are measured.
pub async fn halt(stack: &Stack, scale: &Scale) {
    if scale.stored.len() > 1 {
        all(stack, "STOP").await;
    }
}

/// Its services go on, and have come to themselves.
pub async fn awake(stack: &Stack, scale: &Scale) {
    if scale.stored.len() > 1 {
        all(stack, "CONT").await;
        local::pause(AWAKE).await;
    }
}
