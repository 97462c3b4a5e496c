//! W4: a thousand watchers of dispatch's feed: how soon after it happened each learns of what is in its scope, and what a stream takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use local::people::{Somebody, channel};
use local::scenario::time;
use local::stack::{Options, Stack};
use proto::dispatch::v1::WatchWhistlesRequest;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use system_tests::faults::people::People;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

use crate::Scale;
use crate::blowing::Callers;
use crate::pace::steadily;
use crate::process::resident;
use crate::report::{Figure, Goal, Times};

const WATCHERS: usize = 1000;
/// Streams of one connection.
const SHARED: usize = 50;
/// Whistles a second.
const RATE: f64 = 100.0;

/// Eight in ten watch what a unit sees, the others a street.
pub async fn measure(scale: &Scale) -> anyhow::Result<Vec<Figure>> {
    let stack = Stack::start(&Options { services: vec!["dispatch"], ..scale.options() }).await?;
    let people = Arc::new(People::enter(&stack, 1).await?);
    let callers = Callers::alone(&stack, people.clone())?;
    // Only dispatch runs; the stack knows of all.
    let dispatch = stack.replicas.iter().find(|replica| replica.service == "dispatch").context("no dispatch")?.pid();
    let resident = || resident(dispatch);
    local::progress("W4: a thousand watchers");
    // What serving takes without watchers is not theirs.
    blow(&callers, scale.busy).await?;
    let before = resident()?;
    let mut watching = JoinSet::new();
    for _ in 0..WATCHERS / SHARED {
        let client = WhistleServiceClient::new(channel(&stack, "dispatch")?);
        for _ in 0..SHARED {
            let watcher = watcher(&people, &stack, watching.len())?;
            watching.spawn(watch(client.clone(), watcher));
        }
    }
    local::pause(Duration::from_secs(3)).await;
    blow(&callers, scale.steady).await?;
    let taken = (resident()? - before) * 1024.0 / f64::from(u16::try_from(WATCHERS)?);
    local::pause(Duration::from_secs(1)).await;
    // Each stream ends with the service.
    stack.stop().await;
    let mut late = Vec::new();
    while let Some(ended) = watching.join_next().await {
        late.extend(ended??);
    }
    anyhow::ensure!(late.len() > WATCHERS, "{} changes reached {WATCHERS} watchers", late.len());
    let learned = late.len();
    let late = Times::of(late);
    let figure = |what: &str, part| Figure::time("W4", what, part, &[&late]);
    Ok(vec![
        figure("a change to each of 1 000 watchers p50, 100 whistles/s", 0.5),
        figure("a change to each of 1 000 watchers p99, 100 whistles/s", 0.99).goal(Goal::AtMost(100.0)),
        #[expect(clippy::cast_precision_loss, reason = "a count of changes is small")]
        Figure::new("W4", "changes that watchers learned of", "/s", learned as f64 / scale.steady.as_secs_f64()),
        Figure::new("W4", "memory of a stream", "KiB", taken).goal(Goal::AtMost(64.0)),
    ])
}

async fn blow(callers: &Callers, time: Duration) -> anyhow::Result<()> {
    let blow = |_| {
        let callers = callers.clone();
        async move { callers.blow().await.map(drop) }
    };
    steadily(RATE, time, blow).await.map(drop)
}

fn watcher(people: &People, stack: &Stack, number: usize) -> anyhow::Result<Somebody> {
    let (name, units) = (format!("watcher-{number}"), people.units());
    match number % 5 {
        0 => Somebody::new(&stack.issuer, &name, "street", Some(&people.area(number / 5)), None),
        _ => Somebody::new(&stack.issuer, &name, "unit", None, Some(units[number % units.len()])),
    }
}

/// Watches until the service ends; by how many milliseconds what it learned of had happened before.
async fn watch(mut client: WhistleServiceClient<Channel>, who: Somebody) -> anyhow::Result<Vec<f64>> {
    let mut request = Request::new(WatchWhistlesRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {}", who.token()).parse()?);
    let (mut stream, mut late) = (client.watch_whistles(request).await?.into_inner(), Vec::new());
    while let Ok(Some(beat)) = stream.message().await {
        late.extend(beat.change.and_then(|change| time(&change.occurred_time?)).map(since));
    }
    Ok(late)
}

#[expect(clippy::cast_precision_loss, reason = "a time in milliseconds")]
fn since(at: DateTime<Utc>) -> f64 {
    (local::now() - at).num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0
}
