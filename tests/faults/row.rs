//! One row of the matrix: a fresh rig, the load, the fault, healing, the judge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use local::people::{Somebody, channel, passing, request_id};
use local::stack::{Replica, Stack};
use local::verdict::ladder;
use proto::ops::v1::GetHoldRequest;
use proto::ops::v1::hold_service_client::HoldServiceClient;
use proto::oversight::v1::case_service_client::CaseServiceClient;
use proto::oversight::v1::{CaseState, ListCasesRequest, ReleaseCaseRequest};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::checker::{Evidence, Judgement, Violation, by_invariant, judge, percentile};
use super::driver::{Driver, Load};
use super::history::Ladder;
use super::people::{People, load_policy};
use super::rig::Rig;
use super::strikes::{Fault, Field, Needs, Struck, died_at};
use super::{after, bugs};

/// A row must have had at least so many whistles.
const WHISTLES: usize = 2000;
/// Nothing new has arrived for this long: what is missing then is lost.
const QUIET: Duration = Duration::from_secs(45);

/// How a row is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// Whistles.
    pub whistles: usize,
    /// Whistles a second.
    pub rate: f64,
    /// Another program than this tree's.
    pub binary: Option<PathBuf>,
}

/// What a row found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The fault.
    pub fault: String,
    /// In words.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Whistles acknowledged.
    pub whistles: usize,
    /// What the fault hit.
    pub struck: u64,
    /// Of what.
    pub struck_what: String,
    /// Effects checked.
    pub effects: usize,
    /// Lost, doubled, early.
    pub wrong: [usize; 3],
    /// Latest effect, milliseconds.
    pub latest_ms: i64,
    /// How late reminders and pushes reached the outside, and call tasks the desk, outside of fault windows, milliseconds: p50, p99.
    pub outside_ms: [i64; 2],
    /// How late rungs were committed, outside of fault windows, milliseconds: p50, p99.
    pub rungs_ms: [i64; 2],
    /// After the last fault: until the last late effect had arrived, milliseconds.
    pub healed_ms: i64,
    /// That last one, when it came later than it should have.
    pub last: Option<String>,
    /// The violations that no slow machine explains.
    pub violations: Vec<String>,
    /// What came or was answered too late.
    pub late: Vec<String>,
    /// How many of each invariant.
    pub invariants: BTreeMap<String, usize>,
    /// How soon healing must be over, milliseconds.
    pub heals_ms: i64,
}

impl Row {
    /// One that could not be run to its end, or found by itself that it does not hold.
    pub fn failed(fault: &Fault, seed: u64, error: &anyhow::Error) -> Row {
        let (struck, found) = (Struck::default(), Judgement::default());
        let violations = vec![format!("{error:#}")];
        Row { violations, ..row(fault, seed, 0, &struck, &found, &[]) }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.fails().is_none()
    }

    /// Why it does not hold.
    pub fn fails(&self) -> Option<String> {
        match self {
            Row { violations, late, invariants, .. } if !violations.is_empty() || !late.is_empty() => {
                Some(format!("{invariants:?}"))
            }
            Row { struck: 0, .. } => Some("struck nothing".into()),
            Row { whistles, .. } if *whistles < WHISTLES => Some(format!("fewer than {WHISTLES} whistles")),
            _ => None,
        }
    }
}

/// Runs one row.
pub async fn run(fault: &Fault, plan: &Plan) -> anyhow::Result<Row> {
    let binary = match fault.needs {
        Needs::FailPoints if plan.binary.is_some() => anyhow::bail!("{} has a program of its own", fault.id),
        Needs::FailPoints => Some(bugs::build(bugs::FAIL_POINTS.name, bugs::FAIL_POINTS.patch).await?),
        _ => plan.binary.clone(),
    };
    let mut rig = Rig::start(binary, fault.replicas, fault.needs).await?;
    let ran = judged(fault, plan, &mut rig).await;
    rig.stop().await?;
    ran
}

async fn judged(fault: &Fault, plan: &Plan, rig: &mut Rig) -> anyhow::Result<Row> {
    let hour = TimeDelta::milliseconds(fault.hour_ms);
    let ladder = Ladder {
        steps: ladder(hour).to_vec(),
        check_after: TimeDelta::seconds(20),
        fault_after: TimeDelta::seconds(40),
    };
    let policy = load_policy(&rig.stack, hour, (ladder.check_after, ladder.fault_after)).await?;
    let load = load(fault, plan, hour);
    let span = load.until(load.whistles);
    let people = Arc::new(People::enter(&rig.stack, load.whistles).await?);
    let driver = Driver::new(&rig.stack, load, policy, people)?;
    let (stop, watched) = watch::channel(false);
    let idle = tokio::spawn(idle_in_transaction(rig.stack.servers.postgres_url.clone(), watched));
    let heals = TimeDelta::seconds(fault.heals);
    let mut rng = StdRng::seed_from_u64(plan.seed);
    // Ends with this row, whatever becomes of it.
    let mut running = JoinSet::new();
    running.spawn({
        let driver = driver.clone();
        async move { driver.run().await }
    });
    let released = running_centre(&rig.stack)?;
    let struck = (fault.strike)(&mut Field { rig: &mut *rig, driver: &driver, rng: &mut rng, span, heals }).await?;
    let mut history = running.join_next().await.context("no load")??;
    heal(&rig.stack).await?;
    stop.send_replace(true);
    history.released = released.ended().await?;
    let mut found = judge(&history, &ladder, &evidence(rig).await?);
    after::violations(&mut found, &rig.stack, &history, &ladder).await?;
    found.violations.extend(idle.await?);
    found.violations.extend(after::ended_idle(&rig.stack, &rig.windows).await?);
    found.violations.extend(died(&rig.stack));
    found.violations.extend(unanswering(&rig.stack).await?);
    let rungs = after::rung_lateness(&rig.stack, &rig.windows).await?;
    Ok(row(fault, plan.seed, history.whistles.len(), &struck, &found, &rungs))
}

/// What the plan asks for, as far as the fault allows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of whistles is small")]
#[expect(clippy::cast_precision_loss, reason = "a count of whistles is small")]
fn load(fault: &Fault, plan: &Plan, hour: TimeDelta) -> Load {
    let rate = plan.rate * fault.pace;
    let whistles = ((plan.whistles as f64 * fault.pace) as usize).max((fault.span * rate) as usize);
    Load { whistles, rate, hour, seed: plan.seed, storm: fault.needs == Needs::Storm }
}

/// What the stand-ins and the databases say.
async fn evidence(rig: &Rig) -> anyhow::Result<Evidence> {
    let (gateway, platform) = (&rig.stack.gateway.moods, &rig.stack.platform.moods);
    Ok(Evidence {
        seen: rig.stack.ledger.read()?,
        ambiguous: &gateway.ambiguous() | &platform.ambiguous(),
        turned_away: platform.turned_away(),
        superseded: after::superseded(&rig.stack).await?,
        windows: rig.windows.clone(),
        opened: after::opened(&rig.stack).await?,
        undeliverable: gateway.undeliverable().into_keys().collect(),
    })
}

/// Processes that died though nobody killed them.
fn died(stack: &Stack) -> Vec<Violation> {
    let own = |replica: &&Replica| replica.died_by_itself() > died_at(std::slice::from_ref(replica)).len();
    let died = stack.replicas.iter().filter(own);
    died.map(|replica| Violation { invariant: "alive", what: format!("{} died by itself", replica.service) }).collect()
}

/// I12: every process answers by itself, out of its database, once all has healed, more calls at once than a pool has connections; one
/// that dies of its own fail point is away for a moment.
async fn unanswering(stack: &Stack) -> anyhow::Result<Vec<Violation>> {
    let ops = Somebody::new(&stack.issuer, "ops", "ops", None, None)?;
    let mut found = Vec::new();
    for replica in &stack.replicas {
        let client = HoldServiceClient::new(Endpoint::from_shared(replica.address.clone())?.connect_lazy());
        let ask = || ops.call(GetHoldRequest {}, async |request| client.clone().get_hold(request).await);
        let asked = try_join_all((0..12).map(|_| ask()));
        if !tokio::time::timeout(Duration::from_secs(10), asked).await.is_ok_and(|answers| answers.is_ok()) {
            let what = format!("{} at {} does not answer after healing", replica.service, replica.address);
            found.push(Violation { invariant: "I12", what });
        }
    }
    Ok(found)
}

fn row(fault: &Fault, seed: u64, whistles: usize, struck: &Struck, found: &Judgement, rungs: &[TimeDelta]) -> Row {
    let both = |times: &[TimeDelta]| [50, 99].map(|percent| percentile(times, percent).num_milliseconds());
    let (late, violations) = found.violations.iter().partition::<Vec<_>, _>(|violation| violation.by_the_clock());
    let said = |violations: Vec<&Violation>| violations.into_iter().map(ToString::to_string).collect();
    Row {
        fault: fault.id.into(),
        name: fault.name.into(),
        seed,
        whistles,
        struck: struck.count,
        struck_what: struck.what.into(),
        effects: found.effects,
        wrong: [found.lost, found.doubled, found.early],
        latest_ms: found.latest.num_milliseconds(),
        outside_ms: both(&found.lateness),
        rungs_ms: both(rungs),
        healed_ms: found.healed.num_milliseconds(),
        last: (found.healed > TimeDelta::seconds(fault.heals)).then(|| found.last.clone()),
        violations: said(violations),
        late: said(late),
        invariants: by_invariant(&found.violations),
        heals_ms: fault.heals * 1000,
    }
}

/// The centre: releases, while the load runs and after it, what is held for the platform's own lateness.
struct Centre {
    stop: watch::Sender<bool>,
    releasing: tokio::task::JoinHandle<Vec<(Uuid, DateTime<Utc>)>>,
}

fn running_centre(stack: &Stack) -> anyhow::Result<Centre> {
    let centre = Somebody::new(&stack.issuer, "centre", "centre", None, None)?;
    let cases = CaseServiceClient::new(channel(stack, "oversight")?);
    let (stop, watched) = watch::channel(false);
    let releasing = tokio::spawn(async move {
        let mut released = Vec::new();
        // Oversight may be away: that is what the fault is for. Whoever started this may be gone too.
        while !*watched.borrow() && watched.has_changed().is_ok() {
            released.extend(release(&centre, &cases).await.unwrap_or_default());
            local::pause(Duration::from_millis(250)).await;
        }
        released
    });
    Ok(Centre { stop, releasing })
}

impl Centre {
    /// Which cases it released, and from when on.
    async fn ended(self) -> anyhow::Result<Vec<(Uuid, DateTime<Utc>)>> {
        self.stop.send_replace(true);
        Ok(self.releasing.await?)
    }
}

async fn release(centre: &Somebody, cases: &CaseServiceClient<Channel>) -> anyhow::Result<Vec<(Uuid, DateTime<Utc>)>> {
    let held = ListCasesRequest { state: CaseState::Held.into(), page_size: 100, page_token: String::new() };
    let held = centre.call(held, async |request| cases.clone().list_cases(request).await).await?;
    // As many people as it takes: an outage holds thousands.
    let released = futures::stream::iter(held.cases).map(async |case| {
        let (id, at) = (case.case_id.parse()?, local::now());
        let release = ReleaseCaseRequest { request_id: request_id(), case_id: case.case_id };
        let released = centre.call(release, async |request| cases.clone().release_case(request).await).await;
        // What was refused was not released; what had no answer may have been, and is listed again if it was not.
        let refused = released.is_err_and(|status| !passing(status.code()));
        anyhow::Ok((!refused).then_some((id, at)))
    });
    let released: Vec<_> = released.buffer_unordered(16).try_collect().await?;
    Ok(released.into_iter().flatten().collect())
}

/// Waits until nothing new arrives.
async fn heal(stack: &Stack) -> anyhow::Result<()> {
    let (mut count, mut since) = (0, tokio::time::Instant::now());
    // Somebody's rung falls due every few seconds, to the end of the longest ladder; a retry comes within half a minute.
    while since.elapsed() < QUIET {
        let seen = stack.ledger.count();
        if seen != count {
            (count, since) = (seen, tokio::time::Instant::now());
        }
        if settled(stack).await? {
            break;
        }
        local::pause(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// Nothing is due, and nothing waits to leave.
async fn settled(stack: &Stack) -> anyhow::Result<bool> {
    for (service, query) in [
        ("dispatch", "select not exists (select from assignment where next_due_at < now() + interval '1 hour')"),
        ("dispatch", "select not exists (select from outbox where position is null)"),
        ("notifications", "select not exists (select from leaving)"),
        ("oversight", "select not exists (select from delivery where state in ('queued', 'leased', 'held'))"),
    ] {
        let mut connection = PgConnection::connect(&stack.databases[service]).await?;
        if !sqlx::query_scalar::<_, bool>(query).fetch_one(&mut connection).await? {
            return Ok(false);
        }
    }
    // What was published a moment ago may not have arrived yet.
    after::delivered(stack).await
}

/// I12: looks once a second for a session of ours that has been idle inside a transaction for longer than Postgres lets it: five
/// seconds. What Postgres had to end is looked for in its log, [`ended_idle`].
async fn idle_in_transaction(postgres: String, mut stop: watch::Receiver<bool>) -> Vec<Violation> {
    let mut found = Vec::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return found,
            () = local::pause(Duration::from_secs(1)) => {}
        }
        // Away now; the fault may be just that.
        let Ok(mut connection) = PgConnection::connect(&format!("{postgres}/postgres")).await else { continue };
        let asked = sqlx::query_scalar::<_, String>(
            "select application_name || ': ' || query from pg_stat_activity
             where usename like 'haiqu%' and state like 'idle in transaction%'
             and state_change < clock_timestamp() - interval '6 s'",
        );
        if let Ok(idle) = asked.fetch_all(&mut connection).await {
            found.extend(idle.into_iter().map(|what| Violation { invariant: "I12", what }));
        }
    }
}
