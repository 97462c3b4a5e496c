//! What the journeys share: one running stack for those that break nothing.

use local::servers::Given;
use local::stack::{Options, Stack};
use tokio::sync::OnceCell;

static SHARED: OnceCell<Stack> = OnceCell::const_new();

/// Private servers, one process a service.
pub fn options() -> Options {
    Options { given: Given::default(), replicas: 1, nats_for_services: None, env: Vec::new() }
}

/// The stack of this program; it ends with the program.
pub async fn stack() -> &'static Stack {
    let start = || async {
        match Stack::start(&options()).await {
            Ok(stack) => stack,
            Err(error) => unreachable!("no stack, no journeys: {error:#}"),
        }
    };
    SHARED.get_or_init(start).await
}
