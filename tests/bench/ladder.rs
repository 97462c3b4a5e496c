//! W1 and W2: dispatch alone, with its relay and NATS, as many whistles stored as asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use local::stack::{Options, Replica, Stack};
use sqlx::PgConnection;
use system_tests::faults::people::People;
use uuid::Uuid;

use crate::blowing::Callers;
use crate::capture::{self, Script, Transaction};
use crate::limits::Lasts;
use crate::pace::steadily;
use crate::report::{Figure, Goal, Times, mean};
use crate::{Scale, fill, limits, peers, process, rounds};

/// Callers at once in W2.
const CALLERS: usize = 64;
/// Rungs that fall due at one instant in W1.
const BURST: i64 = 10_000;
/// How often they do in a round.
const BURSTS: usize = 3;
/// Rungs that fall due a second.
const RATE: f64 = 500.0;
/// Nothing is due for so long after others: their events are published meanwhile.
const QUIET: Duration = Duration::from_secs(5);

/// Rungs, or a peer's jobs, that fall due.
pub struct Load {
    /// How many.
    pub count: i64,
    /// As many of them a second; at one instant if zero.
    pub rate: f64,
    /// Until the last is due and what follows from it has ended.
    pub lasts: Duration,
}

impl Load {
    /// So many a second.
    pub fn steady(time: Duration) -> Load {
        #[expect(clippy::cast_possible_truncation, reason = "a count of rungs is small")]
        let count = (RATE * time.as_secs_f64()) as i64;
        Load { count, rate: RATE, lasts: time + QUIET }
    }

    /// Many at one instant.
    pub fn burst() -> Load {
        Load { count: BURST, rate: 0.0, lasts: QUIET }
    }
}

/// Dispatch, its past, and who blows.
struct Bench {
    stack: Stack,
    people: Arc<People>,
    database: PgConnection,
    /// How many whistles are stored.
    stored: i64,
    /// The first number of the next rungs.
    next: i64,
}

/// What a round shows of a scale.
struct Round {
    /// Per cent of a core with nothing due: dispatch, Postgres, NATS.
    idle: f64,
    steady: Times,
    bursts: Times,
    /// Whistles blown a second.
    blown: f64,
    /// The same by pgbench; and the rungs that it fires a second.
    limits: Limits,
    later: Times,
}

struct Limits {
    blowing: f64,
    firing: f64,
}

/// Both workloads at every scale; the peers beside the last.
pub async fn measure(scale: &Scale, peers: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    let benches = rounds::measured::<Bench>(scale).await?;
    let mut figures = Vec::new();
    for (bench, shown) in &benches {
        let last = Some(&bench.stored) == scale.stored.last();
        let of = rung_figures(shown, last).into_iter().chain(whistle_figures(shown));
        figures.extend(of.map(|figure| figure.stored(bench.stored)));
    }
    if let (Some(folder), Some((last, _))) = (peers, benches.last()) {
        // Alone with the server, as we were.
        process::all(&last.stack, "STOP").await;
        peers::beside(&mut figures, &peers::measure(&last.stack.servers, folder, scale).await);
    }
    for (bench, _) in benches {
        bench.stack.stop().await;
    }
    Ok(figures)
}

fn whistle_figures(rounds: &[Round]) -> Vec<Figure> {
    let each = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let later: Vec<_> = rounds.iter().map(|round| &round.later).collect();
    let most = Figure::mean("W2", "BlowWhistle, 64 callers", "whistles/s", each(|round| round.blown));
    let limit = mean(each(|round| round.limits.blowing));
    vec![
        Figure { limit: Some(limit), ..most }.goal(Goal::OfLimit(0.5)),
        Figure::time("W2", "BlowWhistle p50 at 0.3 of the limit", 0.5, &later),
        Figure::time("W2", "BlowWhistle p99 at 0.3 of the limit", 0.99, &later).goal(Goal::AtMost(25.0)),
    ]
}

fn rung_figures(rounds: &[Round], last: bool) -> Vec<Figure> {
    let goal = |figure: Figure, most: f64, beside: bool| match (last, beside) {
        (true, true) => figure.goal(Goal::TimesBetter(4.0, most)),
        (true, false) => figure.goal(Goal::AtMost(most)),
        (false, _) => figure,
    };
    let steady: Vec<_> = rounds.iter().map(|round| &round.steady).collect();
    let bursts: Vec<_> = rounds.iter().map(|round| &round.bursts).collect();
    #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
    let rates = rounds.iter().map(|round| BURST as f64 / (round.bursts.at(0.5) / 1000.0)).collect();
    let fired = Figure::mean("W1", "10 000 due at once, fired", "rungs/s", rates);
    let limit = Some(mean(rounds.iter().map(|round| round.limits.firing).collect()));
    // Whether bursts have grown, their median says.
    let alone = |figure: Figure| Figure { in_growth: false, ..figure };
    vec![
        goal(Figure::time("W1", peers::P50, 0.5, &steady), 3.0, false),
        goal(Figure::time("W1", peers::P99, 0.99, &steady), 10.0, true),
        goal(Figure::time("W1", peers::MOST, 1.0, &steady), 50.0, false),
        goal(Figure::time("W1", peers::BURST, 0.5, &bursts), 500.0, true),
        alone(Figure::time("W1", "the same, the slowest", 1.0, &bursts)),
        alone(Figure { limit, ..fired }.goal(Goal::OfLimit(0.5))),
        Figure::mean("W1", peers::IDLE, "%", rounds.iter().map(|round| round.idle).collect()),
    ]
}

impl rounds::Bench for Bench {
    type Round = Round;

    async fn start(stored: i64, scale: &Scale) -> anyhow::Result<Bench> {
        let options = Options { services: vec!["dispatch"], ..scale.options() };
        let stack = Stack::start(&options).await?;
        let people = Arc::new(People::enter(&stack, 1).await?);
        let database = fill::open(&stack).await?;
        let mut bench = Bench { stack, people, database, stored, next: fill::DUE };
        // What comes first in a new process on a new server is slow for once.
        local::progress("W1 and W2: warming up");
        bench.fire(scale.lead, &[Load::burst()]).await?;
        bench.whistles(Duration::from_secs(5)).await?;
        bench.rest().await?;
        fill::store(&mut bench.database, bench.people.units(), 0, stored).await?;
        Ok(bench)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    async fn round(&mut self, scale: &Scale) -> anyhow::Result<Round> {
        let servers = [&self.stack.servers.postgres, &self.stack.servers.nats].into_iter().flatten();
        let running = self.stack.replicas.iter().map(Replica::pid).filter(|pid| *pid != 0);
        let pids: Vec<_> = running.chain(servers.map(|server| server.process.pid)).collect();
        let idle = process::share(&pids, scale.steady).await?;
        local::progress(&format!("W1: rungs fall due, {} whistles stored", self.stored));
        let mut loads = vec![Load::steady(scale.steady)];
        loads.extend([(); BURSTS].map(|()| Load::burst()));
        let mut fired = self.fire(scale.lead, &loads).await?;
        let bursts = Times::of(fired.split_off(1).iter().map(|burst| burst.at(1.0)).collect());
        let steady = Times::all(&fired.iter().collect::<Vec<_>>());
        self.rest().await?;
        local::progress("W2: whistles are blown");
        let blown = self.whistles(scale.busy).await?;
        self.rest().await?;
        let limits = self.limits(scale).await?;
        self.rest().await?;
        let later = self.at_part_of(limits.blowing * 0.3, scale).await?;
        self.rest().await?;
        Ok(Round { idle, steady, bursts, blown, limits, later })
    }
}

impl Bench {
    /// How late what these loads make due was fired, for every load; one after the other.
    async fn fire(&mut self, mut lead: TimeDelta, loads: &[Load]) -> anyhow::Result<Vec<Times>> {
        let (rungs, until) = loop {
            let start = local::now() + lead;
            let written = self.write(start, loads).await?;
            if local::now() < start {
                break written;
            }
            anyhow::ensure!(lead < TimeDelta::minutes(4), "it took longer than {lead} to write down what falls due");
            lead = lead * 2;
            self.rest().await?;
        };
        let mut fired = Vec::new();
        for own in rungs {
            fired.push(self.late(own, until).await?);
        }
        Ok(fired)
    }

    /// Writes down what falls due from then on; its numbers, and when all of it is over.
    async fn write(
        &mut self,
        start: DateTime<Utc>,
        loads: &[Load],
    ) -> anyhow::Result<(Vec<(i64, i64)>, DateTime<Utc>)> {
        let (mut at, mut rungs) = (start, Vec::new());
        for load in loads {
            let own = (self.next, load.count);
            fill::due(&mut self.database, self.people.units(), own, at, load.rate).await?;
            at += TimeDelta::from_std(load.lasts)?;
            self.next += load.count;
            rungs.push(own);
        }
        fill::settle(&mut self.database).await?;
        Ok((rungs, at))
    }

    /// How late these rungs were fired, asked for when all of them should have been.
    async fn late(&mut self, rungs: (i64, i64), until: DateTime<Utc>) -> anyhow::Result<Times> {
        loop {
            local::pause(Duration::from_millis(500)).await;
            if local::now() < until {
                continue;
            }
            let late = fill::lateness(&mut self.database, rungs).await?;
            if i64::try_from(late.len())? == rungs.1 {
                return Ok(Times::of(late));
            }
            anyhow::ensure!(local::now() < until + TimeDelta::minutes(2), "{} of {} rungs fired", late.len(), rungs.1);
        }
    }

    async fn whistles(&mut self, time: Duration) -> anyhow::Result<f64> {
        let callers = Callers::alone(&self.stack, self.people.clone())?;
        callers.as_many_as_possible(CALLERS, time).await
    }

    /// Waits until what was measured is published, and takes it away.
    async fn rest(&mut self) -> anyhow::Result<()> {
        let published = "select cursor = position and not exists (select from outbox where outbox.position is null)
                         from relay, log_head";
        let since = local::now();
        while !sqlx::query_scalar::<_, bool>(published).fetch_one(&mut self.database).await? {
            anyhow::ensure!(local::now() < since + TimeDelta::minutes(5), "events are not published in 5 minutes");
            local::pause(Duration::from_millis(200)).await;
        }
        fill::clean(&mut self.database).await?;
        fill::settle(&mut self.database).await
    }

    async fn at_part_of(&mut self, rate: f64, scale: &Scale) -> anyhow::Result<Times> {
        let callers = Callers::alone(&self.stack, self.people.clone())?;
        let blow = |_| {
            let callers = callers.clone();
            async move { callers.blow().await.map(drop) }
        };
        steadily(rate, scale.busy, blow).await
    }

    /// What Postgres does a second without us: rungs fired in batches of 100 by one client, which alone takes what it then fires; whistles
    /// blown by as many clients as there are callers.
    async fn limits(&mut self, scale: &Scale) -> anyhow::Result<Limits> {
        local::progress("the same statements under pgbench");
        let blown = self.captured("insert into whistle", Captured::Whistles).await?;
        let first = self.next;
        let fired = self.captured("update rung", Captured::Batch).await?;
        // As many as pgbench shall fire; due already, so that it finds them.
        let (batches, due) = (scale.batches, local::now() - TimeDelta::minutes(1));
        let count = 100 * i64::from(batches);
        local::pause(Duration::from_secs(1)).await;
        process::all(&self.stack, "STOP").await;
        let measured = async {
            fill::due(&mut self.database, self.people.units(), (first + 100, count), due, 0.0).await?;
            fill::settle(&mut self.database).await?;
            let stored: BTreeSet<Uuid> = self.people.units().iter().copied().collect();
            let scripts = |step, of: &[Transaction]| -> Vec<String> {
                of.iter().map(|one| Script { stored: &stored, step }.of(one)).collect()
            };
            let firing =
                limits::pgbench(&self.stack, &scripts(100, &fired[..1]), 1, Lasts::Transactions(batches)).await?;
            let done = fill::lateness(&mut self.database, (first + 100, count)).await?.len();
            anyhow::ensure!(i64::try_from(done)? == count, "pgbench fired {done} of {count} rungs");
            let lasts = Lasts::Seconds(scale.busy.as_secs());
            let blowing = limits::pgbench(&self.stack, &scripts(0, &blown), CALLERS, lasts).await?;
            anyhow::Ok(Limits { blowing, firing: 100.0 * firing })
        };
        let measured = measured.await;
        self.next = first + 100 + count;
        // What pgbench has left is nobody's: it must not fire later.
        sqlx::query("update assignment set next_due_at = null where next_due_at < clock_timestamp()")
            .execute(&mut self.database)
            .await?;
        process::all(&self.stack, "CONT").await;
        measured
    }

    /// Transactions as the service sends them.
    async fn captured(&mut self, mark: &str, what: Captured) -> anyhow::Result<Vec<Transaction>> {
        let Bench { stack, people, database, next, .. } = self;
        let stack: &Stack = stack;
        let work = async {
            match what {
                Captured::Whistles => {
                    let callers = Callers::alone(stack, people.clone())?;
                    // On one unit, and on two.
                    callers.blow().await?;
                    callers.blow().await?;
                }
                Captured::Batch => {
                    let start = local::now() + TimeDelta::seconds(2);
                    fill::due(database, people.units(), (*next, 100), start, 0.0).await?;
                    *next += 100;
                    local::pause(Duration::from_secs(4)).await;
                }
            }
            Ok(())
        };
        capture::during(stack, mark, work).await
    }
}

enum Captured {
    Whistles,
    Batch,
}
