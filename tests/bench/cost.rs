//! What a whistle costs.

use local::servers::Server;
use local::stack::Stack;

use crate::process::used;
use crate::report::Figure;

/// What the servers and services have used.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Milliseconds of a core: services, Postgres, NATS.
    core: [f64; 3],
    /// KiB: tables and indexes, the log of Postgres.
    disk: [f64; 2],
}

impl Cost {
    /// Since they were started.
    pub async fn now(stack: &Stack) -> anyhow::Result<Cost> {
        let services = stack.replicas.iter().map(|replica| used(replica.pid())).sum::<anyhow::Result<f64>>()?;
        let server = |server: &Option<Server>| server.as_ref().map_or(Ok(0.0), |server| used(server.process.pid));
        let core = [services, server(&stack.servers.postgres)?, server(&stack.servers.nats)?];
        let mut postgres = stack.servers.superuser("postgres").await?;
        let (tables, log): (f64, f64) = sqlx::query_as(
            "select sum(pg_database_size(oid))::float8, (pg_current_wal_lsn() - '0/0')::float8 from pg_database",
        )
        .fetch_one(&mut postgres)
        .await?;
        Ok(Cost { core: core.map(|seconds| seconds * 1000.0), disk: [tables, log].map(|bytes| bytes / 1024.0) })
    }

    /// For each of so many whistles.
    #[expect(clippy::cast_precision_loss, reason = "a count of whistles is small")]
    pub fn since(self, before: Cost, whistles: usize) -> Cost {
        let each = |now: f64, before: f64| (now - before) / whistles as f64;
        Cost {
            core: std::array::from_fn(|index| each(self.core[index], before.core[index])),
            disk: std::array::from_fn(|index| each(self.disk[index], before.disk[index])),
        }
    }

    /// What several rounds have cost, as figures of this workload.
    pub fn figures(workload: &'static str, rounds: &[Cost]) -> Vec<Figure> {
        let core =
            ["of a core for a whistle: services", "of a core for a whistle: Postgres", "of a core for a whistle: NATS"];
        let disk = ["of tables for a whistle", "of Postgres's log for a whistle"];
        let figure = |what, unit, of: fn(&Cost, usize) -> f64, index| {
            Figure::mean(workload, what, unit, rounds.iter().map(|cost| of(cost, index)).collect())
        };
        let core =
            core.into_iter().enumerate().map(|(index, what)| figure(what, "ms", |cost, at| cost.core[at], index));
        let disk =
            disk.into_iter().enumerate().map(|(index, what)| figure(what, "KiB", |cost, at| cost.disk[at], index));
        core.chain(disk).collect()
    }
}
