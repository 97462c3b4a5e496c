//! Every number of stored whistles has servers of its own, and all are measured one after the other, in several rounds: what differs
//! between them in a round is not the hour. Who is not being measured stands still.

use local::process::signal;
use local::stack::Stack;

/// The scales in the order of this round: every other one goes backwards, so that a machine that gets slower does not pass for growth.
pub fn order<T>(round: u32, scales: &mut [T]) -> Vec<&mut T> {
    let mut order: Vec<_> = scales.iter_mut().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Its services do nothing any more.
pub async fn halt(stack: &Stack) {
    for replica in &stack.replicas {
        signal("STOP", replica.pid()).await;
    }
}

/// Its services go on.
pub async fn go_on(stack: &Stack) {
    for replica in &stack.replicas {
        signal("CONT", replica.pid()).await;
    }
}
