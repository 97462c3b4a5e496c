//! For tests: one runtime for all tests of a program, one pair of servers, a database each. Everything ends with the program.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::servers::{Given, Servers, create_database};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| match Runtime::new() {
    Ok(runtime) => runtime,
    Err(error) => unreachable!("no runtime, no tests: {error}"),
});
static SERVERS: OnceCell<Servers> = OnceCell::const_new();

/// Runs a test on the program's one runtime: what it starts lives on for the others.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The servers of this program; those that the environment names, or private ones.
pub async fn servers() -> &'static Servers {
    let start = || async {
        let (postgres_url, nats_url) = (environment("HAIQU_POSTGRES_URL"), environment("HAIQU_NATS_URL"));
        let given = Given { postgres_url, nats_url, ..Given::default() };
        match Servers::start(&given).await {
            Ok(servers) => servers,
            Err(error) => unreachable!("no servers, no tests: {error:#}"),
        }
    };
    SERVERS.get_or_init(start).await
}

#[expect(clippy::disallowed_methods, reason = "tests have no command line")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// URL of a new, empty database with a role of its own.
pub async fn database() -> anyhow::Result<String> {
    let (name, password) = (format!("test_{:016x}", rand::random::<u64>()), "test");
    create_database(servers().await, &name, password).await?;
    servers().await.url(&name, password, &name)
}

/// Asks again until it holds; fails the test, saying what did not come true, after 30 s.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..1500 {
        if holds().await {
            return;
        }
        crate::pause(Duration::from_millis(20)).await;
    }
    unreachable!("did not come true within 30 s: {what}");
}
