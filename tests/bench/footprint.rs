//! W5: what idle services take, how soon they are ready, how big the program is; and catch-up with NATS gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use local::stack::{Options, Replica, Stack};
use sqlx::{Connection as _, PgConnection};
use system_tests::faults::people::People;
use tokio::process::Command;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::Scale;
use crate::process::{resident, used};
use crate::report::{Figure, Goal, Times};

/// All of it.
pub async fn measure(scale: &Scale) -> anyhow::Result<Vec<Figure>> {
    let stack = Stack::start(&scale.options()).await?;
    let binary = scale.shipped.clone().map_or_else(|| Ok(local::binaries()?.join("haiqu")), anyhow::Ok)?;
    local::progress("W5: services idle");
    local::pause(Duration::from_secs(5)).await;
    let before = stack.replicas.iter().map(|replica| used(replica.pid())).collect::<anyhow::Result<Vec<_>>>()?;
    local::pause(scale.idle).await;
    let mut memory = Vec::new();
    let mut busy = Vec::new();
    for (replica, before) in stack.replicas.iter().zip(before) {
        memory.push(resident(replica.pid())?);
        busy.push((used(replica.pid())? - before) / scale.idle.as_secs_f64() * 100.0);
    }
    let mut ready = Vec::new();
    for replica in &stack.replicas {
        ready.push(again(replica).await?);
    }
    stack.stop().await;
    Ok(vec![
        Figure::new("W5", "idle memory of a service, the largest", "MiB", Times::of(memory).at(1.0))
            .goal(Goal::AtMost(25.0)),
        Figure::new("W5", "idle share of a core, the largest", "%", Times::of(busy).at(1.0)).goal(Goal::AtMost(1.0)),
        Figure::new("W5", "from its start to ready, the slowest", "s", Times::of(ready).at(1.0))
            .goal(Goal::AtMost(1.0)),
        Figure::new("W5", "stripped binary", "MiB", stripped(&binary).await?).goal(Goal::AtMost(25.0)),
    ])
}

/// Kills it; how many seconds after the next one was started is that one ready?
async fn again(replica: &Replica) -> anyhow::Result<f64> {
    let old = replica.pid();
    local::stack::kill(replica).await;
    while replica.pid() == old || replica.pid() == 0 {
        local::pause(Duration::from_millis(1)).await;
    }
    let (began, channel) = (Instant::now(), Endpoint::from_shared(replica.address.clone())?.connect_lazy());
    while HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.is_err() {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "{} is not ready after 30 s", replica.service);
        local::pause(Duration::from_millis(2)).await;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// The program as it ships, built.
pub async fn shipped() -> anyhow::Result<PathBuf> {
    local::progress("building the haiqu binary as it ships (profile dist)");
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "--package", "haiqu", "--profile", "dist"]);
    local::tools::run(cargo.current_dir(env!("CARGO_MANIFEST_DIR")), "cargo build").await?;
    Ok(local::binaries()?.with_file_name("dist").join("haiqu"))
}

async fn stripped(binary: &Path) -> anyhow::Result<f64> {
    let copy = local::binaries()?.join("haiqu-stripped");
    local::tools::run(Command::new("strip").arg("-o").arg(&copy).arg(binary), "strip").await?;
    size(&copy)
}

#[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
fn size(file: &Path) -> anyhow::Result<f64> {
    Ok(std::fs::metadata(file)?.len() as f64 / 1024.0 / 1024.0)
}

/// The whistle's own event once more, and once more: each of a whistle of its own.
const AGAIN: &str = "with another as materialized (
     select gen_random_uuid()::text as whistle, subject, version, audiences, encode(payload, 'hex') as payload,
            encode(convert_to(aggregate_id, 'UTF8'), 'hex') as old
     from outbox, generate_series(1, $1)
     where id = (select min(id) from outbox where subject = 'haiqu.dispatch.whistle.blown.v1'))
 insert into outbox (event_id, subject, aggregate_id, version, audiences, payload)
 select gen_random_uuid(), subject, whistle, version, audiences,
        decode(replace(payload, old, encode(convert_to(whistle, 'UTF8'), 'hex')), 'hex')
 from another";

/// Events that dispatch published while NATS was gone with all that it held, until oversight has received every one of them.
pub async fn catch_up(scale: &Scale) -> anyhow::Result<Vec<Figure>> {
    let nowhere = Some(format!("nats://127.0.0.1:{}", local::process::free_port()?));
    let services = vec!["dispatch", "oversight"];
    let stack = Stack::start(&Options { services, nats_for_services: nowhere, ..scale.options() }).await?;
    let people = std::sync::Arc::new(People::enter(&stack, 1).await?);
    crate::blowing::Callers::alone(&stack, people)?.blow().await?;
    local::progress("W5: catch-up without NATS");
    let mut dispatch = PgConnection::connect(&stack.databases["dispatch"]).await?;
    let mut oversight = PgConnection::connect(&stack.databases["oversight"]).await?;
    sqlx::query(AGAIN).bind(scale.events).execute(&mut dispatch).await?;
    let began = Instant::now();
    loop {
        let received: i64 = sqlx::query_scalar("select count(*) from inbox").fetch_one(&mut oversight).await?;
        if received > i64::from(scale.events) {
            break;
        }
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(600),
            "{received} of {} events after 10 minutes",
            scale.events
        );
        local::pause(Duration::from_millis(250)).await;
    }
    let took = began.elapsed().as_secs_f64();
    let applied: i64 =
        sqlx::query_scalar("select count(distinct whistle_id) from timeline").fetch_one(&mut oversight).await?;
    anyhow::ensure!(applied > i64::from(scale.events), "{applied} whistles have a timeline");
    stack.stop().await;
    let what = format!("catch-up of {} events without NATS", scale.events);
    Ok(vec![Figure::new("W5", &what, "s", took).goal(Goal::AtMost(60.0 * f64::from(scale.events) / 100_000.0))])
}
