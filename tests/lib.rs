//! What the tests over the whole share: one running stack for the journeys that break nothing, and the fault matrix.

pub mod faults;

use local::servers::Given;
use local::stack::{Options, Stack};
use tokio::sync::OnceCell;

static SHARED: OnceCell<Stack> = OnceCell::const_new();

/// Private servers, one process a service.
pub fn options() -> Options {
    Options { given: Given::default(), ..Options::default() }
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
