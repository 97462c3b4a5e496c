//! The databases after healing, where nothing else can tell.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use local::stack::Stack;
use proto::events::v1::RungFired;
use proto::{Event as _, TOPOLOGY};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::checker::Violation;
use super::history::{History, Window};

/// How long hearers may take to have heard everything once the load has ended.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(stack: &Stack, service: &str) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect(&stack.databases[service]).await?)
}

/// Reminders that are recorded as superseded.
pub async fn superseded(stack: &Stack) -> anyhow::Result<HashSet<Uuid>> {
    let mut notifications = connect(stack, "notifications").await?;
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select id from message where state = 'superseded'").fetch_all(&mut notifications).await?;
    Ok(ids.into_iter().collect())
}

/// When call tasks were open for whoever calls.
pub async fn opened(stack: &Stack) -> anyhow::Result<HashMap<Uuid, DateTime<Utc>>> {
    let mut notifications = connect(stack, "notifications").await?;
    let tasks = sqlx::query_as("select id, opened_at from call_task where opened_at is not null");
    Ok(tasks.fetch_all(&mut notifications).await?.into_iter().collect())
}

/// How late rungs were committed that were due outside of fault windows, by Postgres's clock, in order; those of T0, which come with the
/// whistle itself, aside.
pub async fn rung_lateness(stack: &Stack, windows: &[Window]) -> anyhow::Result<Vec<TimeDelta>> {
    // Rows that were restored from a dump have the restore's commit time.
    let committed: Vec<(DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "select due_at, least(pg_xact_commit_timestamp(xmin), fired_at + interval '1 s') from rung
         where fired_at is not null and number > 1",
    )
    .fetch_all(&mut connect(stack, "dispatch").await?)
    .await?;
    let struck = |due: DateTime<Utc>, at: DateTime<Utc>| windows.iter().any(|window| window.touches(due, at));
    let outside = committed.into_iter().filter(|(due, at)| !struck(*due, *at));
    let mut lateness: Vec<_> = outside.map(|(due, at)| at - due).collect();
    lateness.sort();
    Ok(lateness)
}

/// I7, I9, I10, I13: what the databases of all services say together.
pub async fn violations(stack: &Stack, history: &History) -> anyhow::Result<Vec<Violation>> {
    let mut found = unheard(stack).await?;
    found.extend(not_kept(stack, history).await?);
    found.extend(not_closed(stack, history).await?);
    found.extend(stated_twice(stack).await?);
    Ok(found)
}

/// Whether everything that was stated has been heard.
pub async fn heard(stack: &Stack) -> anyhow::Result<bool> {
    for topic in TOPOLOGY {
        for consumer in topic.consumers {
            if !missing(stack, topic.publisher(), topic.subject, consumer).await?.is_empty() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A fact: its id, what it is about, when it was stated.
type Fact = (Uuid, String, DateTime<Utc>);

/// I9: every consumer's inbox holds every event it subscribes to, done or parked.
async fn unheard(stack: &Stack) -> anyhow::Result<Vec<Violation>> {
    let began = tokio::time::Instant::now();
    let mut found = Vec::new();
    for topic in TOPOLOGY {
        for consumer in topic.consumers {
            let missing = loop {
                let missing = missing(stack, topic.publisher(), topic.subject, consumer).await?;
                if missing.is_empty() || began.elapsed() > PATIENCE {
                    break missing;
                }
                local::pause(Duration::from_millis(500)).await;
            };
            found.extend(missing.first().map(|(event, aggregate, at)| Violation {
                invariant: "I9",
                what: format!(
                    "{consumer} lacks {} facts {}, the first is {event} about {aggregate} of {at}",
                    missing.len(),
                    topic.subject
                ),
            }));
        }
    }
    Ok(found)
}

async fn missing(stack: &Stack, publisher: &str, subject: &str, consumer: &str) -> anyhow::Result<Vec<Fact>> {
    let stated = "select event_id, aggregate_id, occurred_at from outbox where subject = $1 order by id";
    let stated: Vec<Fact> =
        sqlx::query_as(stated).bind(subject).fetch_all(&mut connect(stack, publisher).await?).await?;
    let heard = "select event_id from inbox where subject = $1 and consumer = $2";
    let heard: Vec<Uuid> =
        sqlx::query_scalar(heard).bind(subject).bind(consumer).fetch_all(&mut connect(stack, consumer).await?).await?;
    let heard: HashSet<Uuid> = heard.into_iter().collect();
    Ok(stated.into_iter().filter(|(event, ..)| !heard.contains(event)).collect())
}

/// I2: a rung happens once, so it is stated once; what hearers make of it has a name and would hide a second one.
async fn stated_twice(stack: &Stack) -> anyhow::Result<Vec<Violation>> {
    use prost::Message as _;
    let stated = "select payload from outbox where subject = $1 order by id";
    let stated: Vec<Vec<u8>> =
        sqlx::query_scalar(stated).bind(RungFired::SUBJECT).fetch_all(&mut connect(stack, "dispatch").await?).await?;
    let (mut known, mut found) = (HashSet::new(), Vec::new());
    for payload in stated {
        let fired = RungFired::decode(&payload[..])?;
        if !known.insert((fired.ladder_id.clone(), fired.rung)) {
            let (whistle, assignment, rung) = (fired.whistle_id, fired.assignment_id, fired.rung);
            let due = fired.due_at.as_ref().and_then(local::scenario::time);
            let due = due.map(|at| at.to_rfc3339()).unwrap_or_default();
            let what = format!("fired twice: whistle {whistle}, assignment {assignment}, rung {rung}, due {due}");
            found.push(Violation { invariant: "I2", what });
        }
    }
    Ok(found)
}

/// I7: what was acknowledged is there.
async fn not_kept(stack: &Stack, history: &History) -> anyhow::Result<Vec<Violation>> {
    let shares: Vec<_> = history.whistles.iter().flat_map(|whistle| &whistle.shares).collect();
    let (ladders, stops): (Vec<_>, Vec<_>) = shares.iter().map(|share| (share.ladder, share.stopped_at)).unzip();
    let lost: Vec<Uuid> = sqlx::query_scalar(
        "select known.id from unnest($1::uuid[], $2::timestamptz[]) as known (id, stopped_at)
         left join ladder on ladder.id = known.id
         where ladder.id is null or ladder.stopped_at is distinct from known.stopped_at",
    )
    .bind(&ladders)
    .bind(&stops)
    .fetch_all(&mut connect(stack, "dispatch").await?)
    .await?;
    let violation =
        |ladder: Uuid| Violation { invariant: "I7", what: format!("ladder {ladder} is not as it was acknowledged") };
    Ok(lost.into_iter().map(violation).collect())
}

/// I10 and I13: a whistle whose assignments are all closed is closed, and so is its grievance, which has its newest version.
async fn not_closed(stack: &Stack, history: &History) -> anyhow::Result<Vec<Violation>> {
    let mut dispatch = connect(stack, "dispatch").await?;
    let open: Vec<Uuid> = sqlx::query_scalar(
        "select id from whistle where state = 'open' and not exists (
             select from assignment where whistle_id = whistle.id and state <> 'closed')",
    )
    .fetch_all(&mut dispatch)
    .await?;
    let violation = |invariant, id: Uuid, what| Violation { invariant, what: format!("whistle {id} {what}") };
    let mut found: Vec<_> =
        open.into_iter().map(|id| violation("I13", id, "has only closed assignments and is open")).collect();
    let ids: Vec<Uuid> = history.whistles.iter().map(|whistle| whistle.id).collect();
    let stated: Vec<(Uuid, i64, String)> = sqlx::query_as("select id, version, state from whistle where id = any($1)")
        .bind(&ids)
        .fetch_all(&mut dispatch)
        .await?;
    let closed: HashSet<Uuid> = stated.iter().filter(|(_, _, state)| state == "closed").map(|(id, _, _)| *id).collect();
    for whistle in history.whistles.iter().filter(|whistle| whistle.closed && !closed.contains(&whistle.id)) {
        found.push(violation("I13", whistle.id, "was confirmed by every share and is not closed"));
    }
    let heard: Vec<(Uuid, i64, String)> =
        sqlx::query_as("select whistle_id, whistle_version, state from grievance where whistle_id = any($1)")
            .bind(&ids)
            .fetch_all(&mut connect(stack, "grievances").await?)
            .await?;
    let newest: HashMap<Uuid, (i64, &str)> =
        stated.iter().map(|(id, version, state)| (*id, (*version, state.as_str()))).collect();
    for (id, version, state) in &heard {
        let Some((stated, now)) = newest.get(id) else { continue };
        if version > stated {
            found.push(violation("I10", *id, "is known in a version that was never stated"));
        }
        if *now == "closed" && state != "closed" {
            found.push(violation("I13", *id, "is closed and its grievance is not"));
        }
    }
    Ok(found)
}
