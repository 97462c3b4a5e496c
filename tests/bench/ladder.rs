//! W1 and W2: dispatch alone, with its relay and NATS, as many whistles stored as asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use local::stack::{Options, Stack};
use sqlx::PgConnection;
use system_tests::faults::people::People;
use uuid::Uuid;

use crate::blowing::Callers;
use crate::capture::{self, Script, Transaction};
use crate::limits::Lasts;
use crate::pace::steadily;
use crate::report::{Figure, Goal, Times, mean};
use crate::{Scale, fill, limits, peers, rounds};

/// Callers at once in W2.
const CALLERS: usize = 64;
/// Rungs that fall due at one instant in W1.
const BURST: i64 = 10_000;
/// Rungs that fall due a second.
const RATE: f64 = 500.0;
/// Rungs, or a peer's jobs, that fall due.
pub struct Load {
    /// How many.
    pub count: i64,
    /// As many of them a second; at one instant if zero.
    pub rate: f64,
    /// Until the last is due.
    pub lasts: Duration,
    /// Time enough to write them down and to come to rest after it.
    pub lead: TimeDelta,
}

impl Load {
    /// So many a second.
    pub fn steady(lead: TimeDelta, lasts: Duration) -> Load {
        #[expect(clippy::cast_possible_truncation, reason = "a count of rungs is small")]
        let count = (RATE * lasts.as_secs_f64()) as i64;
        Load { count, rate: RATE, lasts, lead }
    }

    /// Many at one instant.
    pub fn burst(lead: TimeDelta) -> Load {
        Load { count: BURST, rate: 0.0, lasts: Duration::from_secs(1), lead }
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
    let mut benches = Vec::new();
    for stored in &scale.stored {
        let bench = Bench::start(*stored, scale).await?;
        rounds::halt(&bench.stack).await;
        benches.push((bench, Vec::new()));
    }
    for number in 0..scale.rounds {
        for (bench, shown) in rounds::order(number, &mut benches) {
            rounds::go_on(&bench.stack).await;
            shown.push(bench.round(scale).await?);
            rounds::halt(&bench.stack).await;
        }
    }
    let mut figures = Vec::new();
    for (bench, shown) in &benches {
        let last = Some(&bench.stored) == scale.stored.last();
        let of = rung_figures(shown, last).into_iter().chain(whistle_figures(shown));
        figures.extend(of.map(|figure| figure.stored(bench.stored)));
    }
    if let (Some(folder), Some((last, _))) = (peers, benches.last()) {
        // Alone with the server, as we were.
        peers::beside(&mut figures, &peers::measure(&last.stack.servers, folder, scale).await?);
    }
    for (bench, _) in benches {
        rounds::go_on(&bench.stack).await;
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
    let limit = mean(rounds.iter().map(|round| round.limits.firing).collect());
    vec![
        goal(Figure::time("W1", peers::P50, 0.5, &steady), 3.0, false),
        goal(Figure::time("W1", peers::P99, 0.99, &steady), 10.0, true),
        goal(Figure::time("W1", peers::MOST, 1.0, &steady), 50.0, false),
        goal(Figure::time("W1", peers::BURST, 0.5, &bursts), 500.0, true),
        Figure::time("W1", peers::SLOWEST, 1.0, &bursts),
        Figure { limit: Some(limit), ..fired }.goal(Goal::OfLimit(0.5)),
    ]
}

impl Bench {
    /// On servers of its own, with so many whistles stored.
    async fn start(stored: i64, scale: &Scale) -> anyhow::Result<Bench> {
        let options = Options { services: vec!["dispatch"], ..scale.options() };
        let stack = Stack::start(&options).await?;
        let people = Arc::new(People::enter(&stack, 1).await?);
        let database = fill::open(&stack).await?;
        let mut bench = Bench { stack, people, database, stored, next: fill::DUE };
        // What comes first in a new process on a new server is slow for once.
        local::progress("W1 and W2: warming up");
        bench.fire(&Load::burst(TimeDelta::seconds(5))).await?;
        bench.whistles(Duration::from_secs(5)).await?;
        bench.rest().await?;
        fill::store(&mut bench.database, bench.people.units(), 0, stored).await?;
        Ok(bench)
    }

    async fn round(&mut self, scale: &Scale) -> anyhow::Result<Round> {
        local::progress(&format!("W1: rungs fall due, {} whistles stored", self.stored));
        let steady = self.fire(&Load::steady(scale.lead, scale.steady)).await?;
        let mut bursts = Vec::new();
        for _ in 0..scale.bursts {
            bursts.push(self.fire(&Load::burst(scale.lead)).await?.at(1.0));
        }
        self.rest().await?;
        local::progress("W2: whistles are blown");
        let blown = self.whistles(scale.busy).await?;
        self.rest().await?;
        let limits = self.limits(scale).await?;
        self.rest().await?;
        let later = self.at_part_of(limits.blowing * 0.3, scale).await?;
        self.rest().await?;
        Ok(Round { steady, bursts: Times::of(bursts), blown, limits, later })
    }

    async fn fire(&mut self, load: &Load) -> anyhow::Result<Times> {
        let Load { count, rate, lasts, lead } = *load;
        let first = self.next;
        self.next += count;
        let start = local::now() + lead;
        fill::due(&mut self.database, self.people.units(), (first, count), start, rate).await?;
        fill::settle(&mut self.database).await?;
        anyhow::ensure!(local::now() < start, "it took longer than {lead} to write down what falls due");
        let until = start + TimeDelta::from_std(lasts)?;
        loop {
            local::pause(Duration::from_millis(500)).await;
            if local::now() < until {
                continue;
            }
            let late = fill::lateness(&mut self.database, (first, count)).await?;
            if i64::try_from(late.len())? == count {
                return Ok(Times::of(late));
            }
            anyhow::ensure!(local::now() < until + TimeDelta::minutes(2), "{} of {count} rungs fired", late.len());
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
            anyhow::ensure!(local::now() < since + TimeDelta::minutes(5), "facts are not published in 5 minutes");
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
        rounds::halt(&self.stack).await;
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
        rounds::go_on(&self.stack).await;
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
