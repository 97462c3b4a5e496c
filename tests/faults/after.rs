//! The databases after healing, where nothing else can tell.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use local::stack::Stack;
use proto::events::v1::{
    AssignmentAnswered, AssignmentReturned, AssignmentSubmitted, RungFired, WhistleBlown, WhistleClosed,
    WhistleWithdrawn,
};
use proto::{Event as _, TOPOLOGY};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::checker::{Judgement, Violation};
use super::history::{Assignment, History, Ladder, Whistle, Window};

/// How long subscribers may take to have everything once the load has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long Postgres lets a session be idle in a transaction before it ends it, and a little.
const IDLE: TimeDelta = TimeDelta::milliseconds(5500);

async fn connect(stack: &Stack, service: &str) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect(&stack.databases[service]).await?)
}

/// Reminders that are recorded as superseded.
pub async fn superseded(stack: &Stack) -> anyhow::Result<HashSet<Uuid>> {
    let mut notifications = connect(stack, "notifications").await?;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from delivery where way = 'sms' and state = 'superseded'")
        .fetch_all(&mut notifications)
        .await?;
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
    // Rows that were restored from a dump have the restore's commit time: nothing better is known of them than when they were fired.
    let committed: Vec<(DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "select due_at, case when committed_at < fired_at + interval '1 s' then committed_at else fired_at end
         from rung, pg_xact_commit_timestamp(xmin) as committed_at where fired_at is not null and number > 1",
    )
    .fetch_all(&mut connect(stack, "dispatch").await?)
    .await?;
    let struck = |due: DateTime<Utc>, at: DateTime<Utc>| windows.iter().any(|window| window.touches(due, at));
    let outside = committed.into_iter().filter(|(due, at)| !struck(*due, *at));
    let mut lateness: Vec<_> = outside.map(|(due, at)| at - due).collect();
    lateness.sort();
    Ok(lateness)
}

/// I1 to I3 of rungs and cards, I7, I9, I10, I13: what the databases of all services say together.
pub async fn violations(
    found: &mut Judgement,
    stack: &Stack,
    history: &History,
    ladder: &Ladder,
) -> anyhow::Result<()> {
    found.violations.extend(undelivered(stack).await?);
    not_kept(found, stack, history, ladder).await?;
    found.violations.extend(not_closed(stack, history).await?);
    let twice = published_twice(stack).await?;
    found.doubled += twice.len();
    found.violations.extend(twice);
    Ok(())
}

/// I12: sessions that Postgres ended because they were idle in a transaction for five seconds, but for those of a fault: it is then
/// that they end.
pub async fn ended_idle(stack: &Stack, windows: &[Window]) -> anyhow::Result<Vec<Violation>> {
    let log = tokio::fs::read_to_string(stack.servers.folder.join("logs/postgres.log")).await?;
    let ended = log.lines().filter(|line| line.contains("idle-in-transaction timeout"));
    let at = |line: &str| NaiveDateTime::parse_from_str(line.get(..23)?, "%F %T%.3f").ok().map(|at| at.and_utc());
    let struck = |at: DateTime<Utc>| windows.iter().any(|window| window.touches(at - IDLE, at));
    let wrong = ended.filter(|line| at(line).is_none_or(|at| !struck(at)));
    Ok(wrong.map(|line| Violation { invariant: "I12", what: line.to_owned() }).collect())
}

/// Whether every event has reached its subscribers.
pub async fn delivered(stack: &Stack) -> anyhow::Result<bool> {
    for topic in TOPOLOGY {
        for consumer in topic.consumers {
            if !missing(stack, topic.publisher(), topic.subject, consumer).await?.is_empty() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// An event: its id, what it is about, when it occurred.
type Event = (Uuid, String, DateTime<Utc>);

/// I9: every consumer's inbox holds every event it subscribes to, done or parked.
async fn undelivered(stack: &Stack) -> anyhow::Result<Vec<Violation>> {
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
                    "{consumer} lacks {} events {}, the first is {event} about {aggregate} of {at}",
                    missing.len(),
                    topic.subject
                ),
            }));
        }
    }
    Ok(found)
}

async fn missing(stack: &Stack, publisher: &str, subject: &str, consumer: &str) -> anyhow::Result<Vec<Event>> {
    let published = "select event_id, aggregate_id, occurred_at from outbox where subject = $1 order by id";
    let published: Vec<Event> =
        sqlx::query_as(published).bind(subject).fetch_all(&mut connect(stack, publisher).await?).await?;
    let received = "select event_id from inbox where subject = $1 and consumer = $2";
    let received: Vec<Uuid> = sqlx::query_scalar(received)
        .bind(subject)
        .bind(consumer)
        .fetch_all(&mut connect(stack, consumer).await?)
        .await?;
    let received: HashSet<Uuid> = received.into_iter().collect();
    Ok(published.into_iter().filter(|(event, ..)| !received.contains(event)).collect())
}

/// I2: a rung fires once, so it is published once; what subscribers make of it has a name and would hide a second one.
async fn published_twice(stack: &Stack) -> anyhow::Result<Vec<Violation>> {
    use prost::Message as _;
    let published = "select payload from outbox where subject = $1 order by id";
    let published: Vec<Vec<u8>> = sqlx::query_scalar(published)
        .bind(RungFired::SUBJECT)
        .fetch_all(&mut connect(stack, "dispatch").await?)
        .await?;
    let (mut known, mut found) = (HashSet::new(), Vec::new());
    for payload in published {
        let fired = RungFired::decode(&payload[..])?;
        if !known.insert((fired.ladder_id.clone(), fired.rung)) {
            let (whistle, assignment, rung) = (
                fired.whistle.unwrap_or_default().whistle_id,
                fired.assignment.unwrap_or_default().assignment_id,
                fired.rung,
            );
            let due = fired.due_time.as_ref().and_then(local::scenario::time);
            let due = due.map(|at| at.to_rfc3339()).unwrap_or_default();
            let what = format!("fired twice: whistle {whistle}, assignment {assignment}, rung {rung}, due {due}");
            found.push(Violation { invariant: "I2", what });
        }
    }
    Ok(found)
}

/// I7: what was acknowledged is there: each ladder with its stop, each assignment that was handed in or confirmed. I1 to I3: each rung that
/// had to happen has happened, with its card, and no other; none before its time, nor after a later one.
async fn not_kept(found: &mut Judgement, stack: &Stack, history: &History, ladder: &Ladder) -> anyhow::Result<()> {
    let mut dispatch = connect(stack, "dispatch").await?;
    let ladders: HashMap<Uuid, Kept> = {
        let all = "select l.id, l.stopped_at, a.state from ladder l join assignment a on a.id = l.assignment_id";
        let all: Vec<(Uuid, _, _)> = sqlx::query_as(all).fetch_all(&mut dispatch).await?;
        all.into_iter().map(|(id, stopped, state)| (id, (stopped, state))).collect()
    };
    let fired = "select ladder_id, number, fired_at, card from rung where fired_at is not null";
    let fired: Vec<(Uuid, i32, DateTime<Utc>, Option<String>)> = sqlx::query_as(fired).fetch_all(&mut dispatch).await?;
    let fired: HashMap<_, _> = fired.into_iter().map(|(ladder, rung, at, card)| ((ladder, rung), (at, card))).collect();
    for whistle in &history.whistles {
        for assignment in &whistle.assignments {
            let named = format!("whistle {} (T0 {}), assignment {}", whistle.id, whistle.blown_at, assignment.id);
            if let Some(what) = missing_of(assignment, ladders.get(&assignment.ladder)) {
                found.violate("I7", format!("{named}: {what}"));
            }
            for (what, wrong) in rungs(whistle, assignment, ladder, &fired) {
                let count = match wrong {
                    Wrong::Lost => Some(&mut found.lost),
                    Wrong::Early => Some(&mut found.early),
                    Wrong::Unasked | Wrong::Other => None,
                };
                count.into_iter().for_each(|count| *count += 1);
                found.violate(wrong.breaks(), format!("{named}: {what}"));
            }
        }
    }
    Ok(())
}

/// When a ladder stopped, and in what state its assignment is.
type Kept = (Option<DateTime<Utc>>, String);

/// What of an assignment was acknowledged and is not there.
fn missing_of(assignment: &Assignment, kept: Option<&Kept>) -> Option<String> {
    let Some((stopped, state)) = kept else { return Some(format!("its ladder {} is not there", assignment.ladder)) };
    if *stopped != assignment.stopped_at {
        return Some(format!("stopped {stopped:?}, acknowledged as {:?}", assignment.stopped_at));
    }
    if assignment.handed_in && !["submitted", "closed", "withdrawn"].contains(&state.as_str()) {
        return Some(format!("was handed in, as acknowledged, and is {state}"));
    }
    (assignment.confirmed && state != "closed").then(|| format!("was confirmed, as acknowledged, and is {state}"))
}

/// How a rung can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Lost,
    Early,
    Unasked,
    Other,
}

impl Wrong {
    fn breaks(self) -> &'static str {
        match self {
            Wrong::Unasked => "I1",
            Wrong::Early => "I3",
            Wrong::Lost | Wrong::Other => "I2",
        }
    }
}

/// When a rung fired, and its card.
type Fired = (DateTime<Utc>, Option<String>);

/// What is wrong with the rungs of an assignment.
fn rungs(
    whistle: &Whistle,
    assignment: &Assignment,
    ladder: &Ladder,
    fired: &HashMap<(Uuid, i32), Fired>,
) -> Vec<(String, Wrong)> {
    let (mut wrong, mut before) = (Vec::new(), None);
    for ((rung, step), card) in (1..).zip(&ladder.steps).zip([None, Some("yellow"), Some("red"), None]) {
        let due = whistle.blown_at + step.after;
        let happens = assignment.stopped_at.is_none_or(|stopped| due <= stopped);
        match fired.get(&(assignment.ladder, rung)) {
            None if happens => wrong.push((format!("rung {rung}, due {due}, has not fired"), Wrong::Lost)),
            Some((at, _)) if !happens => wrong.push((format!("rung {rung}, due {due}, fired at {at}"), Wrong::Unasked)),
            Some((at, _)) if *at < due => wrong.push((format!("rung {rung}, due {due}, fired at {at}"), Wrong::Early)),
            Some((at, _)) if before > Some(*at) => {
                wrong.push((format!("rung {rung} fired at {at}, before the last"), Wrong::Other))
            }
            Some((at, given)) if given.as_deref() != card => {
                wrong.push((format!("rung {rung}, fired at {at}, gave {given:?} for {card:?}"), Wrong::Other));
            }
            Some((at, _)) => before = Some(*at),
            None => {}
        }
    }
    wrong
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
    let states: Vec<(Uuid, String)> =
        sqlx::query_as("select id, state from whistle where id = any($1)").bind(&ids).fetch_all(&mut dispatch).await?;
    let states: HashMap<Uuid, String> = states.into_iter().collect();
    let received: Vec<(Uuid, i64, String)> =
        sqlx::query_as("select whistle_id, whistle_version, state from grievance where whistle_id = any($1)")
            .bind(&ids)
            .fetch_all(&mut connect(stack, "grievances").await?)
            .await?;
    let received: HashMap<_, _> = received.into_iter().map(|(id, version, state)| (id, (version, state))).collect();
    let told = told(&mut dispatch).await?;
    for whistle in &history.whistles {
        let (state, received) = (states.get(&whistle.id).map(String::as_str), received.get(&whistle.id));
        if whistle.closed && state != Some("closed") {
            found.push(violation("I13", whistle.id, "was confirmed by every assignment and is not closed"));
        }
        if whistle.withdrawn && state != Some("withdrawn") {
            found.push(violation("I7", whistle.id, "was withdrawn, as acknowledged, and is not"));
        }
        if told.get(&whistle.id) != received.map(|(version, _)| version) {
            found.push(violation("I10", whistle.id, "is not known in the newest version that was told"));
        }
        if state == Some("closed") && received.is_none_or(|(_, state)| state != "closed") {
            found.push(violation("I13", whistle.id, "is closed and its grievance is not"));
        }
    }
    Ok(found)
}

/// The newest version of each whistle that grievances was told of.
async fn told(dispatch: &mut PgConnection) -> anyhow::Result<HashMap<Uuid, i64>> {
    let published = "select aggregate_id, subject, payload from outbox where subject = any($1)";
    let published: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as(published).bind(proto::topology::subjects("dispatch", "grievances")).fetch_all(dispatch).await?;
    let mut told = HashMap::new();
    for (id, subject, payload) in published {
        let version = version(&subject, &payload)?;
        told.entry(id.parse()?).and_modify(|newest: &mut i64| *newest = version.max(*newest)).or_insert(version);
    }
    Ok(told)
}

fn version(subject: &str, payload: &[u8]) -> anyhow::Result<i64> {
    use prost::Message as _;
    Ok(match subject {
        WhistleBlown::SUBJECT => WhistleBlown::decode(payload)?.version,
        AssignmentAnswered::SUBJECT => AssignmentAnswered::decode(payload)?.version,
        AssignmentSubmitted::SUBJECT => AssignmentSubmitted::decode(payload)?.version,
        AssignmentReturned::SUBJECT => AssignmentReturned::decode(payload)?.version,
        WhistleWithdrawn::SUBJECT => WhistleWithdrawn::decode(payload)?.version,
        WhistleClosed::SUBJECT => WhistleClosed::decode(payload)?.version,
        other => anyhow::bail!("{other} is new to grievances: say here where its version stands"),
    })
}
