//! Faults of Postgres, of NATS as a process, and of their disks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use local::process::signal;
use local::servers::{Given, Servers, create_database, execute};
use local::stand_ins::Kind;
use local::tools::run;
use proto::Event as _;
use proto::events::v1::ResidentRegistered;
use proto::ops::v1::ListHeldEffectsRequest;
use rand::RngExt as _;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use super::{Field, Struck, family};

/// F3: killed, and gone for a while; then once more.
pub fn nats_gone<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let (began, mut blown) = (tokio::time::Instant::now(), 0);
        field.wait(4.0).await;
        while began.elapsed() + Duration::from_secs(20) < field.span {
            let (from, before) = (local::now(), field.driver.acknowledged());
            let how = if field.rng.random_bool(0.5) { "KILL" } else { "TERM" };
            signal(how, field.nats()?.process.pid).await;
            field.nats()?.process.ended().await?;
            let seconds = f64::from(field.rng.random_range(4_000..9_000)) / 1000.0;
            field.wait(seconds).await;
            let late = latest_rung(field, from).await?;
            anyhow::ensure!(late < 1000, "a rung was fired {late} ms late while NATS was away");
            field.nats()?.start().await?;
            field.window(from);
            blown += (field.driver.acknowledged() - before) as u64;
            field.wait(6.0).await;
        }
        Ok(Struck { count: blown, what: "whistles blown meanwhile" })
    })
}

/// F17: each flush of Postgres's log takes half a second, then two. A rung is fired within three flushes of its due time, for what it is
/// about waits for up to two before anybody sees it; one in a hundred later, within five: where a segment of the log ends, a flush is two.
pub fn slow_disk<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(10.0).await;
        let (from, each) = (local::now(), (field.span.as_secs_f64() - 30.0) / 2.0);
        let mut late = Vec::new();
        for flush_ms in [500, 2000] {
            field.rig.turn_dial(&format!("+{flush_ms}"))?;
            field.wait(5.0).await;
            let since = local::now();
            field.wait(each - 5.0).await;
            late.push((flush_ms, late_rungs(field, since).await?));
        }
        field.rig.turn_dial("+0")?;
        field.window(from);
        let count = field.fell_due(from, local::now()).await?;
        local::progress(&format!("ms that a flush took; and by which rungs were late, p99 and the latest: {late:?}"));
        let in_time = late.iter().all(|(flush_ms, [p99, latest])| *p99 <= 3 * flush_ms && *latest <= 5 * flush_ms);
        anyhow::ensure!(in_time, "rungs were fired too late: {late:?}");
        Ok(Struck { count, what: "rungs that fell due" })
    })
}

/// By how many milliseconds rungs since then were late: all but one in a hundred, and the latest.
async fn late_rungs(field: &Field<'_>, since: DateTime<Utc>) -> anyhow::Result<[i64; 2]> {
    let mut dispatch = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
    let late = "select percentile_disc(array[0.99, 1]) within group (order by (extract(epoch from fired_at - due_at) * 1000)::bigint)
                from rung where due_at >= $1 and fired_at is not null and number > 1";
    let late: Vec<i64> = sqlx::query_scalar(late).bind(since).fetch_one(&mut dispatch).await?;
    late.try_into().map_err(|late| anyhow::anyhow!("no rung fell due: {late:?}"))
}

/// By how many milliseconds the latest rung since then was late.
async fn latest_rung(field: &Field<'_>, since: DateTime<Utc>) -> anyhow::Result<i64> {
    let mut dispatch = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
    let late =
        "select coalesce(max(extract(epoch from fired_at - due_at) * 1000)::bigint, 0) from rung where due_at >= $1";
    Ok(sqlx::query_scalar(late).bind(since).fetch_one(&mut dispatch).await?)
}

/// F6: what NATS had not synced is gone.
pub fn nats_power_cut<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(10.0).await;
        let stored = super::messages::stored(field).await?;
        let from = local::now();
        signal("STOP", field.nats()?.process.pid).await;
        let copy = field.rig.disk()?.snapshot().await?;
        field.nats()?.kill().await?;
        field.rig.disk()?.swap(copy).await?;
        field.nats()?.start().await?;
        field.window(from);
        // At least so many: some have come again since.
        let lost = stored.saturating_sub(super::messages::stored(field).await?);
        Ok(Struck { count: lost, what: "events that the cut took" })
    })
}

/// F7: what Postgres had not synced is gone.
pub fn postgres_power_cut<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(10.0).await;
        let from = local::now();
        let pid = field.postgres()?.process.pid;
        for pid in family(pid) {
            signal("STOP", pid).await;
        }
        let copy = field.rig.disk()?.snapshot().await?;
        for pid in family(pid) {
            signal("KILL", pid).await;
        }
        field.postgres()?.process.ended().await?;
        field.rig.disk()?.swap(copy).await?;
        field.postgres()?.start().await?;
        field.window(from);
        field.wait(5.0).await;
        Ok(Struck { count: field.fell_due(from, local::now()).await?, what: "rungs due about then" })
    })
}

/// F9: every backend is terminated, then the server is killed.
pub fn postgres_killed<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let (began, mut hit) = (tokio::time::Instant::now(), 0);
        field.wait(4.0).await;
        while began.elapsed() + Duration::from_secs(16) < field.span {
            let from = local::now();
            let mut superuser = field.rig.stack.servers.superuser("postgres").await?;
            let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                             where backend_type = 'client backend' and pid <> pg_backend_pid()";
            let ended: i64 = sqlx::query_scalar(terminate).fetch_one(&mut superuser).await?;
            hit += ended.unsigned_abs();
            field.window(from);
            field.wait(4.0).await;
            let from = local::now();
            hit += field.driver.in_flight() as u64;
            field.postgres()?.kill().await?;
            field.postgres()?.start().await?;
            field.window(from);
            field.wait(6.0).await;
        }
        Ok(Struck { count: hit, what: "sessions ended, calls under way" })
    })
}

/// F10: away for so long that reminders are late.
pub fn postgres_away<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(8.0).await;
        let from = local::now();
        field.postgres()?.kill().await?;
        field.wait(125.0).await;
        field.postgres()?.start().await?;
        field.window(from);
        // The backlog takes its time; it begins at once.
        field.wait(2.0).await;
        let mut dispatch = PgConnection::connect(&field.rig.stack.databases["dispatch"]).await?;
        let fired = "select count(*) from rung where fired_at > pg_postmaster_start_time() and number > 1";
        let fired: i64 = sqlx::query_scalar(fired).fetch_one(&mut dispatch).await?;
        anyhow::ensure!(fired > 0, "no rung was fired within two seconds after Postgres was back");
        Ok(Struck { count: field.fell_due(from, local::now()).await?, what: "rungs due meanwhile" })
    })
}

/// F14: somebody holds a transaction open for the whole run, in another database and in dispatch's.
pub fn long_transaction<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let dispatch = field.rig.stack.databases["dispatch"].rsplit('/').next().unwrap_or_default().to_owned();
        let mut open = Vec::new();
        for database in ["postgres", &dispatch] {
            let mut connection = field.rig.stack.servers.superuser(database).await?;
            execute(&mut connection, "begin isolation level repeatable read; select txid_current()".into()).await?;
            open.push(connection);
        }
        local::pause(field.span).await;
        let blown = field.driver.acknowledged() as u64;
        for connection in open {
            connection.close().await?;
        }
        Ok(Struck { count: blown, what: "whistles blown meanwhile" })
    })
}

/// F15: no byte is free under NATS. JetStream may stay shut when there is room again: it is then started again, as the liveness
/// probe of every deployment does.
pub fn nats_disk_full<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let struck = disk_full(field).await?;
        let from = local::now();
        field.wait(2.0).await;
        if !takes_facts(&field.rig.stack.servers.nats_url).await {
            field.nats()?.kill().await?;
            field.nats()?.start().await?;
            field.window(from);
        }
        Ok(struck)
    })
}

/// Whether JetStream stores something; nobody subscribes to this subject.
#[expect(clippy::disallowed_methods, reason = "a probe from outside publishes no event")]
async fn takes_facts(url: &str) -> bool {
    let stored = async {
        let context = async_nats::jetstream::new(async_nats::connect(url).await?);
        context.publish(ResidentRegistered::SUBJECT, "".into()).await?.await?;
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(3), stored).await.is_ok_and(|stored| stored.is_ok())
}

/// F15: no byte is free under Postgres, which may fall over it and is started again when there is room.
pub fn postgres_disk_full<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        let struck = disk_full(field).await?;
        let server = field.postgres()?;
        if tokio::time::timeout(Duration::from_millis(200), server.process.ended()).await.is_ok() {
            server.start().await?;
        }
        Ok(struck)
    })
}

async fn disk_full(field: &mut Field<'_>) -> anyhow::Result<Struck> {
    field.wait(8.0).await;
    let (from, before) = (local::now(), field.driver.acknowledged());
    let ballast = field.rig.disk()?.fill();
    field.wait(8.0).await;
    std::fs::remove_file(ballast)?;
    field.window(from);
    let during = (field.driver.acknowledged() - before + field.driver.in_flight()) as u64;
    Ok(Struck { count: during, what: "whistles blown or tried meanwhile" })
}

/// F25: dispatch's database is dumped and restored into a new cluster. It starts held; after the release nothing is lost and
/// nothing doubled.
pub fn dispatch_restored<'a>(field: &'a mut Field<'_>) -> BoxFuture<'a, anyhow::Result<Struck>> {
    Box::pin(async move {
        field.wait(8.0).await;
        let from = local::now();
        let servers = Servers::start(&Given { nats_url: Some("nats://unused".into()), ..Given::default() }).await?;
        // Nobody writes while the dump is made, as in any planned move.
        let old = field.rig.stack.databases["dispatch"].clone();
        let name = old.rsplit('/').next().unwrap_or_default().to_owned();
        let password = old.split(['/', ':', '@']).nth(4).unwrap_or_default().to_owned();
        let mut superuser = field.rig.stack.servers.superuser("postgres").await?;
        execute(&mut superuser, format!("alter database {name} allow_connections false")).await?;
        let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
        execute(&mut superuser, end).await?;
        execute(&mut superuser, format!("alter database {name} rename to {name}_old")).await?;
        execute(&mut superuser, format!("alter database {name}_old allow_connections true")).await?;
        create_database(&servers, &name, &password).await?;
        dumped(field, &servers, &name).await?;
        let [postgres, _] = field.rig.stack.servers.addresses()?;
        let restored = local::servers::address(&servers.postgres_url)?;
        field.rig.turn("dispatch", postgres, restored).await?;
        field.rig.stack.databases.insert("dispatch", old.replace(&postgres.to_string(), &restored.to_string()));
        field.rig.keep(servers);
        field.wait(2.0).await;
        let held = local::now();
        field.wait(4.0).await;
        let left = field.rig.stack.ledger.read()?.into_iter().filter(|seen| seen.at > held);
        let left = left.filter(|seen| matches!(seen.kind, Kind::Sms | Kind::Call | Kind::Push)).count();
        anyhow::ensure!(
            left == 0,
            "{left} reminders, calls and pushes left though dispatch was restored and nobody released it"
        );
        release(field).await?;
        field.window(from);
        Ok(Struck { count: field.fell_due(held, local::now()).await?, what: "rungs due while held" })
    })
}

async fn dumped(field: &Field<'_>, to: &Servers, name: &str) -> anyhow::Result<()> {
    let tools = local::tools::install().await?;
    let file = field.rig.stack.servers.folder.join("dispatch.dump");
    let from = format!("{}/{name}_old", field.rig.stack.servers.postgres_url);
    run(Command::new(tools.postgres.join("pg_dump")).arg("-Fc").arg("-f").arg(&file).arg(from), "pg_dump").await?;
    let into = format!("{}/{name}", to.postgres_url);
    let mut restore = Command::new(tools.postgres.join("pg_restore"));
    run(restore.args(["--no-owner", "--role", name, "-d"]).arg(into).arg(&file), "pg_restore").await
}

/// Ops look at what would leave, and let it.
async fn release(field: &Field<'_>) -> anyhow::Result<()> {
    let hold = field.hold("dispatch").await?;
    anyhow::ensure!(hold.hold_time.is_some(), "dispatch was restored and does not hold");
    let (ops, client) = field.ops("dispatch")?;
    let listed = ListHeldEffectsRequest::default();
    let listed = ops.call(listed, async |request| client.clone().list_held_effects(request).await).await?;
    anyhow::ensure!(!listed.effects.is_empty(), "nothing is listed that would leave");
    field.release("dispatch").await
}
