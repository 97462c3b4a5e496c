//! W3: from the call to "the gateway accepted SMS 1", through all services; and how long events take from
//! their commit to the commit of their last subscriber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use local::stack::Stack;
use local::stand_ins::{Kind, Seen};
use sqlx::{Connection as _, PgConnection};
use system_tests::faults::people::People;
use tokio::sync::broadcast;

use crate::blowing::Callers;
use crate::cost::Cost;
use crate::pace::steadily;
use crate::report::{Figure, Goal, Times};
use crate::{Scale, fill, rounds};

/// Whistles a second.
const RATE: f64 = 200.0;
/// Whistles a second that publish a thousand events a second.
const CROWDED: f64 = 260.0;
/// So long before it is measured: no server that is in use has plans that were made for empty tables, or has just started.
const WARM: Duration = Duration::from_secs(10);

/// So long an SMS is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// All services, their past, and who blows.
struct Bench {
    stack: Stack,
    callers: Callers,
    stored: i64,
}

/// What a round shows of a scale.
struct Round {
    reminded: Times,
    /// Three commits and a message, without us.
    bare: Times,
    cost: Cost,
    received: Times,
    /// With a thousand events a second; and how many there were.
    crowded: Times,
    published: f64,
}

/// At every scale.
pub async fn measure(scale: &Scale) -> anyhow::Result<Vec<Figure>> {
    let mut all = Vec::new();
    for (bench, shown) in rounds::measured::<Bench>(scale).await? {
        all.extend(figures(&shown).into_iter().map(|figure| figure.stored(bench.stored)));
        bench.stack.stop().await;
    }
    Ok(all)
}

impl rounds::Bench for Bench {
    type Round = Round;

    async fn start(stored: i64, scale: &Scale) -> anyhow::Result<Bench> {
        let stack = Stack::start(&scale.options()).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of whistles is small")]
        let each = (RATE * (scale.busy + WARM).as_secs_f64() + CROWDED * (scale.busy / 2).as_secs_f64()) as usize + 6;
        let people = Arc::new(People::enter(&stack, each * scale.rounds as usize).await?);
        let callers = Callers::received(&stack, people.clone())?;
        fill::store(&mut fill::open(&stack).await?, people.units(), 0, stored).await?;
        fill::store_elsewhere(&stack, 0, stored).await?;
        Ok(Bench { stack, callers, stored })
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    async fn round(&mut self, scale: &Scale) -> anyhow::Result<Round> {
        let Bench { stack, callers, stored } = self;
        local::progress(&format!("W3: whistles are blown, reminders are sent, {stored} whistles stored"));
        reminders(stack, callers, RATE, WARM).await?;
        fill::settle_all(stack).await?;
        let (since, before) = (local::now(), Cost::now(stack).await?);
        let reminded = reminders(stack, callers, RATE, scale.busy).await?;
        let cost = Cost::now(stack).await?.since(before, reminded.count());
        let (received, _) = events(stack, since).await?;
        let bare = bare(stack, scale.busy / 2).await?;
        let since = local::now();
        reminders(stack, callers, CROWDED, scale.busy / 2).await?;
        let (crowded, published) = events(stack, since).await?;
        // Nothing of it is left to do while the others are measured.
        fill::settle_all(stack).await?;
        Ok(Round { reminded, bare, cost, received, crowded, published })
    }
}

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let times = |of: fn(&Round) -> &Times| rounds.iter().map(of).collect::<Vec<_>>();
    let (reminded, bare) = (times(|round| &round.reminded), Times::all(&times(|round| &round.bare)));
    let (received, crowded) = (times(|round| &round.received), times(|round| &round.crowded));
    let sms = |what: &str, part: f64, most: f64| Figure {
        limit: Some(bare.at(part)),
        ..Figure::time("W3", what, part, &reminded).goal(Goal::AtMost(most))
    };
    let published = rounds.iter().map(|round| round.published).collect();
    let mut figures = vec![
        sms("whistle to SMS 1 accepted p50, 200/s", 0.5, 15.0),
        sms("whistle to SMS 1 accepted p99, 200/s", 0.99, 50.0),
        Figure::time("W3", "event to its last subscriber p99, 200 whistles/s", 0.99, &received),
        Figure::time("W3", "event to its last subscriber p99, 260 whistles/s", 0.99, &crowded).goal(Goal::AtMost(30.0)),
        Figure::mean("W3", "events published, 260 whistles/s", "events/s", published),
    ];
    figures.extend(Cost::figures("W3", &rounds.iter().map(|round| round.cost).collect::<Vec<_>>()));
    figures
}

/// What is known of whistles by their numbers.
type ByNumber = Arc<Mutex<HashMap<usize, Instant>>>;

/// Milliseconds from when each call should have begun.
async fn reminders(stack: &Stack, callers: &Callers, rate: f64, time: Duration) -> anyhow::Result<Times> {
    let (began, first) = (ByNumber::default(), ByNumber::default());
    let watching = tokio::spawn(firsts(stack.ledger.subscribe(), first.clone()));
    let blow = |due| {
        let (callers, began) = (callers.clone(), began.clone());
        async move {
            let number = callers.blow().await?;
            locked(&began).insert(number, due);
            Ok(())
        }
    };
    steadily(rate, time, blow).await?;
    let ended = Instant::now();
    while locked(&first).len() < locked(&began).len() && ended.elapsed() < PATIENCE {
        local::pause(Duration::from_millis(100)).await;
    }
    watching.abort();
    let (began, first) = (locked(&began), locked(&first));
    let late =
        first.iter().filter_map(|(number, at)| Some(at.duration_since(*began.get(number)?).as_secs_f64() * 1000.0));
    let times = Times::of(late.collect());
    anyhow::ensure!(
        times.count() == began.len(),
        "{} of {} whistles were followed by an SMS",
        times.count(),
        began.len()
    );
    Ok(times)
}

fn locked(times: &ByNumber) -> MutexGuard<'_, HashMap<usize, Instant>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes when the first message of each whistle came.
async fn firsts(mut seen: broadcast::Receiver<Seen>, first: ByNumber) {
    // Ends when so many have come at once that some were missed: whoever waits for those says so.
    while let Ok(seen) = seen.recv().await {
        let Seen { kind: Kind::Sms, text, .. } = seen else { continue };
        let number = text.split_once("示例事项").and_then(|(_, rest)| rest.split_once('”')?.0.parse().ok());
        if let Some(number) = number {
            locked(&first).entry(number).or_insert_with(Instant::now);
        }
    }
}

/// Waits until no event arrives any more.
async fn all_received(stack: &Stack, since: DateTime<Utc>) -> anyhow::Result<()> {
    let mut before = -1;
    loop {
        let mut received = 0;
        for url in stack.databases.values() {
            let mut connection = PgConnection::connect(url).await?;
            let here = sqlx::query_scalar::<_, i64>("select count(*) from inbox where received_at >= $1");
            received += here.bind(since).fetch_one(&mut connection).await?;
        }
        if received == before {
            return Ok(());
        }
        before = received;
        local::pause(Duration::from_secs(1)).await;
    }
}

/// From the commit of each event since then to the commit of the inbox row that its last subscriber wrote, in milliseconds; and how many
/// events there were a second. NATS brings them; catch-up would take seconds.
async fn events(stack: &Stack, since: DateTime<Utc>) -> anyhow::Result<(Times, f64)> {
    all_received(stack, since).await?;
    let (mut published, mut last): (HashMap<uuid::Uuid, f64>, HashMap<uuid::Uuid, f64>) = Default::default();
    for url in stack.databases.values() {
        let mut connection = PgConnection::connect(url).await?;
        let occurred: Vec<(uuid::Uuid, f64)> = sqlx::query_as(
            "select event_id, extract(epoch from occurred_at)::float8 from outbox where occurred_at >= $1",
        )
        .bind(since)
        .fetch_all(&mut connection)
        .await?;
        published.extend(occurred);
        let received: Vec<(uuid::Uuid, f64)> = sqlx::query_as(
            "select event_id, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from inbox where received_at >= $1",
        )
        .bind(since)
        .fetch_all(&mut connection)
        .await?;
        for (id, at) in received {
            last.entry(id).and_modify(|last| *last = last.max(at)).or_insert(at);
        }
    }
    let times = Times::of(last.iter().filter_map(|(id, at)| Some((at - published.get(id)?) * 1000.0)).collect());
    let span =
        published.values().copied().fold(f64::MIN, f64::max) - published.values().copied().fold(f64::MAX, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a count of events is small")]
    let rate = published.len() as f64 / span.max(1.0);
    Ok((times, rate))
}

/// The least that it takes: three commits of one row each, one after the other, and one message that JetStream acknowledges, as often.
#[expect(clippy::disallowed_methods, reason = "not an event: what publishing costs at least")]
async fn bare(stack: &Stack, time: Duration) -> anyhow::Result<Times> {
    let options = sqlx::postgres::PgPoolOptions::new().min_connections(16).max_connections(16);
    let pool = options.connect(&stack.databases["residents"]).await?;
    sqlx::query("create table if not exists bare (id uuid primary key)").execute(&pool).await?;
    let jetstream = async_nats::jetstream::new(async_nats::connect(&stack.servers.nats_url).await?);
    let least = |_| {
        let (pool, jetstream) = (pool.clone(), jetstream.clone());
        async move {
            for _ in 0..3 {
                sqlx::query("insert into bare values ($1)").bind(uuid::Uuid::now_v7()).execute(&pool).await?;
            }
            jetstream.publish("haiqu.bare.v1.none", "".into()).await?.await?;
            Ok(())
        }
    };
    steadily(RATE, time, least).await
}
