//! Every number of stored whistles has servers of its own, and all are measured one after the other, in several rounds: what differs
//! between them in a round is not the hour. Who is not being measured stands still.

use std::time::Duration;

use local::stack::Stack;

use crate::Scale;
use crate::process::all;

/// Longer than it takes whoever stood still for minutes to find NATS and the others again.
const AWAKE: Duration = Duration::from_secs(10);

/// What can be measured again and again.
pub trait Bench: Sized {
    /// What a round shows.
    type Round;

    /// On servers of its own, with so many whistles stored.
    async fn start(stored: i64, scale: &Scale) -> anyhow::Result<Self>;

    /// Its servers and services.
    fn stack(&self) -> &Stack;

    /// Measures once, and leaves nothing to do while others are measured.
    async fn round(&mut self, scale: &Scale) -> anyhow::Result<Self::Round>;
}

/// One for every number of stored whistles, and what each of its rounds showed.
pub async fn measured<B: Bench>(scale: &Scale) -> anyhow::Result<Vec<(B, Vec<B::Round>)>> {
    let mut benches = Vec::new();
    for stored in &scale.stored {
        let bench = B::start(*stored, scale).await?;
        halt(bench.stack(), scale).await;
        benches.push((bench, Vec::new()));
    }
    for number in 0..scale.rounds {
        for (bench, shown) in order(number, &mut benches) {
            awake(bench.stack(), scale).await;
            shown.push(bench.round(scale).await?);
            halt(bench.stack(), scale).await;
        }
    }
    Ok(benches)
}

/// The scales in the order of this round: every other one goes backwards, so that a machine that gets slower does not pass for growth.
fn order<T>(round: u32, scales: &mut [T]) -> Vec<&mut T> {
    let mut order: Vec<_> = scales.iter_mut().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Its services stand still while others are measured.
async fn halt(stack: &Stack, scale: &Scale) {
    if scale.stored.len() > 1 {
        all(stack, "STOP").await;
    }
}

/// Its services go on, and have come to themselves.
async fn awake(stack: &Stack, scale: &Scale) {
    if scale.stored.len() > 1 {
        all(stack, "CONT").await;
        local::pause(AWAKE).await;
    }
}
