//! W1 and W2: dispatch alone, with its relay and NATS, as many whistles stored as asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use local::servers::Given;
use local::stack::{Options, Replica, Stack};
use sqlx::PgConnection;
use system_tests::faults::people::People;
use uuid::Uuid;

use crate::blowing::Callers;
use crate::capture::{self, Script, Transaction};
use crate::limits::Lasts;
use crate::pace::steadily;
use crate::report::{Figure, Goal, Times};
use crate::{Scale, fill, limits, peers};

/// Callers at once in W2.
const CALLERS: usize = 64;
/// Rungs that fall due at one instant in W1.
const BURST: i64 = 10_000;
/// Rungs that fall due a second.
const RATE: f64 = 500.0;
/// How often they fall due at one instant; the median counts.
pub const BURSTS: usize = 3;

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
    pub fn steady(scale: &Scale) -> Load {
        #[expect(clippy::cast_possible_truncation, reason = "a count of rungs is small")]
        let count = (RATE * scale.steady.as_secs_f64()) as i64;
        Load { count, rate: RATE, lasts: scale.steady, lead: scale.lead }
    }

    /// Many at one instant.
    pub fn burst(scale: &Scale) -> Load {
        Load { count: BURST, rate: 0.0, lasts: Duration::from_secs(1), lead: scale.lead }
    }
}

/// Dispatch, its past, and who blows.
struct Bench {
    stack: Stack,
    people: Arc<People>,
    database: PgConnection,
    /// The first number of the next rungs.
    next: i64,
}

/// Both workloads at every scale; the peers beside the last.
pub async fn measure(scale: &Scale, peers: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    let options = Options { given: Given::default(), services: vec!["dispatch"], ..Options::default() };
    let stack = Stack::start(&options).await?;
    let people = Arc::new(People::enter(&stack, 1).await?);
    let database = fill::open(&stack).await?;
    let mut bench = Bench { stack, people, database, next: fill::DUE };
    // What comes first in a new process on a new server is slow for once, which is not to be mistaken for growth.
    local::progress("W1 and W2: warming up");
    bench.fire(&Load::burst(scale)).await?;
    bench.whistles(scale).await?;
    bench.rest().await?;
    let (mut figures, mut stored) = (Vec::new(), 0);
    for to in &scale.stored {
        fill::store(&mut bench.database, bench.people.units(), stored, *to).await?;
        stored = *to;
        let last = Some(to) == scale.stored.last();
        let (steady, burst) = bench.rungs(scale).await?;
        bench.rest().await?;
        let rate = bench.whistles(scale).await?;
        bench.rest().await?;
        let (firing, blowing) = bench.limits(scale).await?;
        bench.rest().await?;
        let later = bench.at_part_of(blowing * 0.3, scale).await?;
        figures.extend(rung_figures(&steady, &burst, firing, last));
        figures.extend(whistle_figures(rate, blowing, &later));
        figures.iter_mut().filter(|figure| figure.stored.is_none()).for_each(|figure| figure.stored = Some(stored));
    }
    if let Some(folder) = peers {
        // Alone with the server, as we were.
        bench.rest().await?;
        let dispatch = bench.pid();
        local::process::signal("STOP", dispatch).await;
        let beside = peers::measure(&bench.stack.servers, folder, scale).await;
        local::process::signal("CONT", dispatch).await;
        peers::beside(&mut figures, &beside?);
    }
    bench.stack.stop().await;
    Ok(figures)
}

fn whistle_figures(rate: f64, limit: f64, later: &Times) -> Vec<Figure> {
    let most = Figure { limit: Some(limit), ..Figure::new("W2", "BlowWhistle, 64 callers", "whistles/s", rate) };
    let slow = Figure::new("W2", "BlowWhistle p99 at 0.3 of the limit", "ms", later.at(0.99));
    vec![
        most.goal(Goal::OfLimit(0.5)),
        Figure::new("W2", "BlowWhistle p50 at 0.3 of the limit", "ms", later.at(0.5)),
        slow.goal(Goal::AtMost(25.0)),
    ]
}

fn rung_figures(steady: &Times, burst: &Times, limit: f64, last: bool) -> Vec<Figure> {
    let goal = |figure: Figure, most: f64, beside: bool| match (last, beside) {
        (true, true) => figure.goal(Goal::TimesBetter(4.0, most)),
        (true, false) => figure.goal(Goal::AtMost(most)),
        (false, _) => figure,
    };
    #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
    let rate = BURST as f64 / (burst.at(0.5) / 1000.0);
    vec![
        goal(Figure::new("W1", peers::P50, "ms", steady.at(0.5)), 3.0, false),
        goal(Figure::new("W1", peers::P99, "ms", steady.at(0.99)), 10.0, true),
        goal(Figure::new("W1", peers::MOST, "ms", steady.at(1.0)), 50.0, false),
        goal(Figure::new("W1", peers::BURST, "ms", burst.at(0.5)), 500.0, true),
        Figure::new("W1", peers::SLOWEST, "ms", burst.at(1.0)),
        Figure { limit: Some(limit), ..Figure::new("W1", "10 000 due at once, fired", "rungs/s", rate) }
            .goal(Goal::OfLimit(0.5)),
    ]
}

impl Bench {
    fn pid(&self) -> u32 {
        self.stack.replicas.iter().find(|replica| replica.service == "dispatch").map_or(0, Replica::pid)
    }

    /// How late rungs are committed: so many a second; and the last of many that are due at one instant, each time.
    async fn rungs(&mut self, scale: &Scale) -> anyhow::Result<(Times, Times)> {
        local::progress("W1: rungs fall due");
        let steady = self.fire(&Load::steady(scale)).await?;
        let mut bursts = Vec::new();
        for _ in 0..BURSTS {
            bursts.push(self.fire(&Load::burst(scale)).await?.at(1.0));
        }
        Ok((steady, Times::of(bursts)))
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

    async fn whistles(&mut self, scale: &Scale) -> anyhow::Result<f64> {
        local::progress("W2: whistles are blown");
        let callers = Callers::alone(&self.stack, self.people.clone())?;
        callers.as_many_as_possible(CALLERS, scale.busy).await
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
    async fn limits(&mut self, scale: &Scale) -> anyhow::Result<(f64, f64)> {
        local::progress("the same statements under pgbench");
        let blown = self.captured("insert into whistle", Captured::Whistles).await?;
        let first = self.next;
        let fired = self.captured("update rung", Captured::Batch).await?;
        // As many as pgbench shall fire; due already, so that it finds them.
        let (batches, due) = (scale.batches, local::now() - TimeDelta::minutes(1));
        let count = 100 * i64::from(batches);
        local::pause(Duration::from_secs(1)).await;
        let dispatch = self.pid();
        local::process::signal("STOP", dispatch).await;
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
            anyhow::Ok((100.0 * firing, blowing))
        };
        let measured = measured.await;
        self.next = first + 100 + count;
        // What pgbench has left is nobody's: it must not fire later.
        sqlx::query("update assignment set next_due_at = null where next_due_at < clock_timestamp()")
            .execute(&mut self.database)
            .await?;
        local::process::signal("CONT", dispatch).await;
        measured
    }

    /// Transactions as the service sends them.
    async fn captured(&mut self, mark: &str, what: Captured) -> anyhow::Result<Vec<Transaction>> {
        let Bench { stack, people, database, next } = self;
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
