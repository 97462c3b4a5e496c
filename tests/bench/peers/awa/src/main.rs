//! The peer "awa", with either of its storages.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use awa::model::insert::{insert_many_copy_from_pool, params_with};
use awa::model::migrations;
use awa::{Client, InsertOpts, JobArgs, JobError, JobResult, QueueConfig, QueueStorage};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::signal::unix::{SignalKind, signal};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const QUEUE: &str = "effect";
const BATCH: usize = 5000;
/// Awa's own default.
const WORKERS: u32 = 50;

#[derive(Serialize, Deserialize, JobArgs)]
struct Effect {
    id: i64,
    due: DateTime<Utc>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // Its storage of before 0.6, in place of the queue storage that is the default since.
    let canonical = args.first().is_some_and(|arg| arg == "--canonical");
    args.drain(..usize::from(canonical));
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    // Handlers share the pool with the runtime, so each gets a connection, and the runtime the rest.
    let pool = PgPoolOptions::new().max_connections(WORKERS + 14).connect(&url).await?;

    match args.first().map(String::as_str) {
        Some("prepare") => {
            let pending: i64 = option(&args, "--pending")?;
            let due = Utc::now() + TimeDelta::days(1);
            migrations::run(&pool).await?;
            let storage = storage(canonical)?;
            if let Some(storage) = &storage {
                storage.install(&pool).await?;
            }
            // Negative ids, so that a pending job could never be taken for one of `due`.
            let jobs = (1..=pending).map(|i| Effect { id: -i, due });
            enqueue(&pool, storage.as_ref(), jobs).await?;
            println!("prepared {pending}");
        }
        Some("due") => {
            let (start, count) = (option(&args, "--start")?, option(&args, "--count")?);
            let due = due(start, count, option(&args, "--rate")?)?;
            enqueue(&pool, storage(canonical)?.as_ref(), due).await?;
            println!("enqueued {count}");
        }
        Some("work") => work(pool, canonical).await?,
        _ => {
            let usage = "prepare --pending N | due --start EPOCH_MS --count N --rate R | work";
            return Err(format!("usage: [--canonical] {usage}").into());
        }
    }
    Ok(())
}

/// Jobs from `start` on, in whole milliseconds, as with the peers that are written in JavaScript.
fn due(start: i64, count: i64, rate: f64) -> Result<impl Iterator<Item = Effect>> {
    let step = if rate > 0.0 { 1000.0 / rate } else { 0.0 };
    let start = DateTime::from_timestamp_millis(start).ok_or("--start is out of range")?;
    let at = move |id| start + TimeDelta::milliseconds((id as f64 * step).round() as i64);
    Ok((0..count).map(move |id| Effect { id, due: at(id) }))
}

fn option<T>(args: &[String], name: &str) -> Result<T>
where
    T: std::str::FromStr<Err: Error + 'static>,
{
    let at = args.iter().position(|arg| arg == name);
    let value = at.and_then(|at| args.get(at + 1));
    let value = value.ok_or_else(|| format!("{name} is missing"))?;
    Ok(value.parse().map_err(|error| format!("{name}: {error}"))?)
}

fn storage(canonical: bool) -> Result<Option<QueueStorage>> {
    Ok(match canonical {
        true => None,
        false => Some(QueueStorage::new(Default::default())?),
    })
}

/// Awa's bulk path for producers: COPY, straight into the queue storage or through a staging table.
async fn enqueue(pool: &PgPool, storage: Option<&QueueStorage>, mut jobs: impl Iterator<Item = Effect>) -> Result<()> {
    loop {
        let batch = jobs
            .by_ref()
            .take(BATCH)
            .map(|job| {
                let opts = InsertOpts { queue: QUEUE.into(), run_at: Some(job.due), ..Default::default() };
                params_with(&job, opts)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        match storage {
            Some(storage) => drop(storage.enqueue_params_copy(pool, &batch).await?),
            None => drop(insert_many_copy_from_pool(pool, &batch).await?),
        }
    }
}

async fn work(pool: PgPool, canonical: bool) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let config = QueueConfig {
        max_workers: WORKERS,
        // A fallback only: a promotion wakes the queue by NOTIFY.
        poll_interval: Duration::from_millis(20),
        ..Default::default()
    };
    let effects = pool.clone();
    let builder = Client::builder(pool);
    let builder = match canonical {
        true => builder.canonical_storage(),
        false => builder,
    };
    let client = builder
        .queue(QUEUE, config)
        // A job of the future waits for the next promotion, so this bounds its lateness.
        .promote_interval(Duration::from_millis(25))
        // As in its own benchmarks: a promotion may wait behind what counts the queue.
        .queue_stats_interval(Duration::from_secs(300))
        .runtime_snapshot_interval(Duration::from_secs(300))
        .register::<Effect, _, _>(move |job, _| {
            let pool = effects.clone();
            async move {
                sqlx::query("insert into effect (id, due) values ($1, $2)")
                    .bind(job.id)
                    .bind(job.due)
                    .execute(&pool)
                    .await
                    .map_err(JobError::retryable)?;
                Ok(JobResult::Completed)
            }
        })
        .build()?;
    client.start().await?;
    terminate.recv().await;
    client.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
