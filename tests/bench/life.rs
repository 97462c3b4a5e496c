//! What a whistle costs in its whole life: every service twice, as it is deployed, under the load of the fault matrix without a fault.
//! Some units answer by a link or a call, some are silent up to 阳光+; what is handed in is returned, confirmed, withdrawn.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use local::stack::{Options, Stack};
use system_tests::faults::driver::{Driver, Load};
use system_tests::faults::people::{People, load_policy};

use crate::Scale;
use crate::cost::Cost;
use crate::report::Figure;

/// Whistles a second: what two cores can do without a queue.
const RATE: f64 = 20.0;
/// So long is an hour of the ladder: the longest life ends six seconds after its beginning.
const HOUR: TimeDelta = TimeDelta::milliseconds(400);
/// Nothing is late enough here to be asked for, or to be held.
const BOUNDS: (TimeDelta, TimeDelta) = (TimeDelta::seconds(20), TimeDelta::seconds(40));

/// The cost of a life.
pub async fn measure(scale: &Scale) -> anyhow::Result<Vec<Figure>> {
    let stack = Stack::start(&Options { replicas: 2, ..scale.options() }).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of whistles is small")]
    let whistles = (RATE * scale.steady.as_secs_f64() * 2.0) as usize;
    let people = Arc::new(People::enter(&stack, whistles).await?);
    let policy = load_policy(&stack, HOUR, BOUNDS).await?;
    let load = Load { whistles, rate: RATE, hour: HOUR, seed: crate::SEED, storm: false };
    let driver = Driver::new(&stack, load, policy, people)?;
    local::progress("life: whistles from the call to their last outcome");
    let before = Cost::now(&stack).await?;
    let history = driver.run().await;
    anyhow::ensure!(history.unresolved.is_empty(), "calls without an answer: {:?}", history.unresolved);
    // What the last of them still causes.
    local::pause(Duration::from_secs(3)).await;
    let cost = Cost::now(&stack).await?.since(before, whistles);
    stack.stop().await;
    Ok(Cost::figures("life", &[cost]))
}
