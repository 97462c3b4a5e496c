//! Faults of NATS and of what it carries.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use chrono::TimeDelta;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use local::process::signal;
use rand::seq::SliceRandom as _;
use sqlx::{Connection as _, PgConnection};

use super::{Field, Struck};

/// Services that subscribe to dispatch; each has a durable consumer of its name.
const SUBSCRIBERS: [&str; 3] = ["notifications", "oversight", "grievances"];

/// F4: the store is gone, with what nobody had consumed yet.
pub fn store_deleted<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(6.0).await;
        let from = local::now();
        sleep_hearers(field, "STOP").await;
        field.wait(1.5).await;
        let waiting = unconsumed(field).await?;
        let nats = field.nats()?;
        nats.kill().await?;
        std::fs::remove_dir_all(&nats.data)?;
        nats.start().await?;
        sleep_hearers(field, "CONT").await;
        field.window(from);
        Ok(Struck { count: waiting, what: "rungs not received" })
    })
}

/// F5: the store is what it was some seconds ago.
pub fn store_rolled_back<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(6.0).await;
        let before = newest(field).await?;
        let nats = field.nats()?;
        let older = nats.data.with_extension("older");
        signal("STOP", nats.process.pid).await;
        copy(&nats.data, &older).await?;
        signal("CONT", nats.process.pid).await;
        field.wait(8.0).await;
        let (from, after) = (local::now(), newest(field).await?);
        let nats = field.nats()?;
        nats.kill().await?;
        std::fs::remove_dir_all(&nats.data)?;
        std::fs::rename(&older, &nats.data)?;
        nats.start().await?;
        field.window(from);
        Ok(Struck { count: after.abs_diff(before), what: "events rolled back" })
    })
}

/// F18: every event comes again, out of order, as new messages.
pub fn injected_again<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let client = async_nats::connect(&field.rig.stack.servers.nats_url).await?;
        let mut all = client.subscribe("haiqu.>").await?;
        let (began, mut injected, mut kept) = (tokio::time::Instant::now(), 0, Vec::new());
        while began.elapsed() + Duration::from_secs(6) < field.span {
            let next = tokio::time::timeout(Duration::from_millis(500), all.next()).await;
            if let Ok(Some(message)) = next
                && message.headers.as_ref().is_some_and(|headers| headers.get("again").is_none())
            {
                kept.push(message);
            }
            if kept.len() < 400 {
                continue;
            }
            kept.shuffle(field.rng);
            for message in kept.drain(..) {
                let mut headers = async_nats::HeaderMap::new();
                for (name, values) in message.headers.iter().flat_map(async_nats::HeaderMap::iter) {
                    if name.to_string() != "Nats-Msg-Id" {
                        values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
                    }
                }
                headers.insert("again", "yes");
                client.publish_with_headers(message.subject, headers, message.payload).await?;
                injected += 1;
            }
            client.flush().await?;
        }
        Ok(Struck { count: injected, what: "events injected" })
    })
}

/// F22: durable consumers are deleted under their subscribers, then paused, then they starve: somebody else takes their messages and
/// never says so.
pub fn consumers_gone<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let context = jetstream::new(async_nats::connect(&field.rig.stack.servers.nats_url).await?);
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        field.wait(4.0).await;
        while began.elapsed() + Duration::from_secs(30) < field.span {
            let from = local::now();
            for consumer in SUBSCRIBERS {
                let stream = context.get_stream("HAIQU").await?;
                hit += u64::from(stream.delete_consumer(consumer).await.is_ok_and(|deleted| deleted.success));
            }
            field.window(from);
            field.wait(6.5).await;
            let from = local::now();
            for consumer in SUBSCRIBERS {
                let stream = context.get_stream("HAIQU").await?;
                let paused = stream.pause_consumer(consumer, local::now() + TimeDelta::seconds(6)).await;
                hit += u64::from(paused.is_ok_and(|paused| paused.paused));
            }
            field.wait(6.0).await;
            field.window(from);
            field.wait(6.5).await;
            let from = local::now();
            for consumer in SUBSCRIBERS {
                hit += starve(&context, consumer).await?;
            }
            field.window(from);
            field.wait(6.5).await;
        }
        Ok(Struck { count: hit, what: "consumers deleted, paused, messages taken" })
    })
}

/// Takes what is there for a consumer, and acknowledges it in its name without doing anything.
async fn starve(context: &jetstream::Context, name: &str) -> anyhow::Result<u64> {
    let stream = context.get_stream("HAIQU").await?;
    let Ok(consumer) = stream.get_consumer::<jetstream::consumer::pull::Config>(name).await else { return Ok(0) };
    let mut taken = 0;
    let mut messages = consumer.fetch().max_messages(50).expires(Duration::from_secs(1)).messages().await?;
    while let Some(Ok(message)) = messages.next().await {
        // It is lost for whoever should have had it: that is the point.
        taken += u64::from(message.ack().await.is_ok());
    }
    Ok(taken)
}

/// The sequence number of the newest event in JetStream's store; 0 when the store is not there.
pub async fn stored(field: &Field<'_>) -> anyhow::Result<u64> {
    let context = jetstream::new(async_nats::connect(&field.rig.stack.servers.nats_url).await?);
    let Ok(stream) = context.get_stream("HAIQU").await else { return Ok(0) };
    Ok(stream.cached_info().state.last_sequence)
}

async fn sleep_hearers(field: &Field<'_>, name: &str) {
    for service in SUBSCRIBERS {
        for replica in field.rig.of(service) {
            signal(name, replica.pid()).await;
        }
    }
}

/// Rungs in dispatch's log that notifications has not received.
async fn unconsumed(field: &Field<'_>) -> anyhow::Result<u64> {
    let databases = &field.rig.stack.databases;
    let count = async |service: &str, query: &'static str| -> anyhow::Result<i64> {
        let mut connection = PgConnection::connect(&databases[service]).await?;
        Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
    };
    let published = "select count(*) from outbox where subject = 'haiqu.dispatch.rung.fired.v1'";
    let received = "select count(*) from inbox where subject = 'haiqu.dispatch.rung.fired.v1'";
    let lacking = count("dispatch", published).await? - count("notifications", received).await?;
    Ok(u64::try_from(lacking).unwrap_or_default())
}

async fn newest(field: &Field<'_>) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
    let position: i64 = sqlx::query_scalar("select position from log_head").fetch_one(&mut connection).await?;
    Ok(position.unsigned_abs())
}

/// Copies a folder as it is, owners included.
async fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut cp = tokio::process::Command::new("cp");
    local::tools::run(cp.args(["-a", "--sparse=always"]).arg(from).arg(to), "cp").await
}
