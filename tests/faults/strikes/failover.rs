//! F26: the server is lost, and its synchronous standby takes its place.

use anyhow::Context as _;
use futures::future::BoxFuture;
use local::servers::{execute, synchronous_standby};

use super::{Field, Struck};

/// Nothing that was acknowledged is missing, and whoever lived through it says so: nothing is held.
pub fn promoted<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(4.0).await;
        let made = local::now();
        let standby = synchronous_standby(&field.rig.stack.servers).await?;
        // Copying the whole server takes its share of the machine.
        field.window(made);
        field.wait(8.0).await;
        let from = local::now();
        let lost = field.rig.stack.servers.postgres.take().context("no Postgres of our own")?;
        lost.kill().await?;
        field.rig.stack.servers.postgres = Some(standby.take_over(&lost).await?);
        let mut superuser = field.rig.stack.servers.superuser("postgres").await?;
        execute(&mut superuser, "select pg_promote()".into()).await?;
        field.window(from);
        field.wait(10.0).await;
        for service in ["dispatch", "notifications", "oversight"] {
            let held = field.hold(service).await?.hold_time.is_some();
            anyhow::ensure!(!held, "{service} holds after a failover to a synchronous standby");
        }
        Ok(Struck { count: field.fell_due(from, local::now()).await?, what: "rungs due about then" })
    })
}
