//! F26: the server is lost, and its synchronous standby takes its place.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use local::people::{Somebody, channel};
use local::servers::{address, execute, synchronous_standby};
use local::stack::SERVICES;
use proto::ops::v1::GetHoldRequest;
use proto::ops::v1::hold_service_client::HoldServiceClient;

use super::{Field, Struck};

/// Nothing that was acknowledged is missing, and whoever lived through it says so: nothing is held.
pub fn promoted<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(4.0).await;
        let made = local::now();
        let (standby, url) = synchronous_standby(&field.rig.stack.servers).await?;
        // Copying the whole server takes its share of the machine.
        field.window(made, Duration::from_secs(4));
        field.wait(8.0).await;
        let (from, in_flight) = (local::now(), field.driver.in_flight() as u64);
        let [lost, _] = field.rig.stack.servers.addresses()?;
        let servers = &mut field.rig.stack.servers;
        let primary = servers.postgres.replace(standby).context("no Postgres of our own")?;
        primary.kill().await?;
        servers.postgres_url = url;
        let new = address(&servers.postgres_url)?;
        let mut superuser = servers.superuser("postgres").await?;
        execute(&mut superuser, "select pg_promote()".into()).await?;
        for service in SERVICES {
            field.rig.turn(service, lost, new).await?;
        }
        for url in field.rig.stack.databases.values_mut() {
            *url = url.replace(&lost.to_string(), &new.to_string());
        }
        field.window(from, Duration::from_secs(10));
        field.wait(10.0).await;
        nothing_held(field).await?;
        Ok(Struck { count: in_flight, what: "calls under way" })
    })
}

async fn nothing_held(field: &Field<'_>) -> anyhow::Result<()> {
    let ops = Somebody::new(&field.rig.stack.issuer, "ops", "ops", None, None)?;
    for service in ["dispatch", "notifications", "oversight"] {
        let client = HoldServiceClient::new(channel(&field.rig.stack, service)?);
        let hold = ops.call(GetHoldRequest {}, async |request| client.clone().get_hold(request).await).await?;
        anyhow::ensure!(hold.hold_time.is_none(), "{service} holds after a failover to a synchronous standby");
    }
    Ok(())
}
