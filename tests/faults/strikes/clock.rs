//! F16: Postgres's clock jumps an hour ahead. It is detected, ops is alarmed, rungs wait; the clock is put right, and ops says go.

use futures::future::BoxFuture;
use proto::SERVICES;
use sqlx::{Connection as _, PgConnection};

use super::{Field, Struck};

/// An hour is far more than a whole ladder here: a clock that was believed would fire everything at once.
pub fn jumped<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(8.0).await;
        let from = local::now();
        field.rig.turn_dial("+3600")?;
        field.wait(2.0).await;
        let before = fired(field).await?;
        field.wait(3.0).await;
        anyhow::ensure!(fired(field).await? == before, "rungs fired by a clock that had jumped");
        field.rig.turn_dial("+0")?;
        field.wait(2.0).await;
        let waiting = waiting(field).await?;
        anyhow::ensure!(fired(field).await? == before, "rungs fired before ops had said go");
        for service in SERVICES {
            let doubt = field.hold(service).await?.clock_doubt_time;
            anyhow::ensure!(doubt.is_some(), "{service} believes a clock that has jumped");
            field.confirm_clock(service).await?;
            alarmed(field, service)?;
        }
        field.window(from);
        Ok(Struck { count: waiting, what: "rungs that fell due" })
    })
}

async fn fired(field: &Field<'_>) -> anyhow::Result<i64> {
    let mut connection = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
    Ok(sqlx::query_scalar("select count(*) from rung where fired_at is not null").fetch_one(&mut connection).await?)
}

/// Rungs that are due by the right clock, and wait.
async fn waiting(field: &Field<'_>) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
    let count = "select count(*) from assignment where next_due_at <= clock_timestamp()";
    Ok(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut connection).await?.unsigned_abs())
}

/// Some process of the service has said so loudly.
fn alarmed(field: &Field<'_>, service: &str) -> anyhow::Result<()> {
    let logs = field.rig.of(service).into_iter().map(|replica| std::fs::read_to_string(replica.log));
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    let loud = |line: &str| line.contains("ERROR") && line.contains("clock has jumped");
    anyhow::ensure!(logs.iter().any(|log| log.lines().any(loud)), "no process of {service} raised an alarm");
    Ok(())
}
