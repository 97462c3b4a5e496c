//! Delivering. A delivery is taken up under a lease (commit), handed over under its own id, and recorded (commit). Whoever takes it up
//! again, after a crash or a time-out, first asks the outside whether it has it: at least once with a constant id, and once where the
//! outside's answers are unambiguous.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Notify, Semaphore, mpsc};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::lease::{self, LEASE};
use super::store;
use super::way::{Ended, Found, Leased, Leave, Outcome, Sent, Way};
use crate::base::{Chain, Context, Error, Stop, Timestamp, error, metrics, stop, trace};
use crate::data::{Db, Session};

/// How often what others left is looked for.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// Between two looks at least: what comes meanwhile is taken up in one batch.
const IDLE: Duration = Duration::from_millis(2);
/// Whoever sees that a process has no session any more takes up at once what it had. Who has flushed has one: after a longer wait for others
/// it is asked once more; longer than a flush takes, or on a slow disk no lease would last.
const FRESH: Duration = Duration::from_millis(500);
/// Of so many times as many as may be under way, at most: what is taken up together on a disk that takes seconds for it.
const AHEAD: usize = 32;

/// An attempt that has ended, to be recorded.
struct Attempted<W: Way> {
    delivery: Leased,
    item: W::Item,
    ready: Option<W::Ready>,
    step: Step,
    span: Span,
}

/// What an attempt came to.
enum Step {
    /// The outside has it, and answered so.
    Accepted(String),
    /// It ends, or is held.
    Ended(Outcome),
    /// Later.
    Again {
        /// The outside had it before it.
        offered: bool,
    },
}

const LATER: Step = Step::Again { offered: false };

/// Delivers until told to stop; then waits for what is under way and records it.
pub async fn deliver<W: Way>(way: W, db: Db, context: Context, stop: Stop) -> anyhow::Result<()> {
    let (ended, attempts) = mpsc::channel(W::AT_ONCE);
    let mut recording = tokio::spawn(record(way.clone(), db.clone(), context, attempts));
    let mut taker = Taker {
        way,
        session: db.session(),
        held: Arc::new(Semaphore::new(W::AT_ONCE * AHEAD)),
        under_way: Arc::new(Semaphore::new(W::AT_ONCE)),
        room: Arc::default(),
        ended,
    };
    let mut received = db.received();
    while !stop.requested() {
        received.mark_unchanged();
        let began = Instant::now();
        let wait = match taker.take().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => POLL,
            Err(error) => {
                tracing::warn!(way = W::NAME, error = %Chain(&error), "nothing can be taken up now");
                4 * POLL
            }
        };
        stop::idle(began, IDLE).await;
        let (room, free) = (taker.room.clone(), taker.free());
        tokio::select! {
            () = stop.wait() => {}
            // Nobody would record any more what is sent: half a sender is worse than none.
            died = &mut recording => anyhow::bail!("recording what was delivered has ended: {died:?}"),
            // There is more to do than may be taken up: the first that ends makes room.
            () = room.notified(), if free == 0 => {}
            _ = received.changed(), if free > 0 => {}
            () = stop::pause(wait), if free > 0 => {}
        }
    }
    drop(taker);
    Ok(recording.await?)
}

/// What was taken up, and what it is.
type Taken<W> = (Vec<Leased>, Vec<(Uuid, <W as Way>::Item)>);

/// Takes up what waits.
struct Taker<W: Way> {
    way: W,
    session: Session,
    /// Taken up, and not recorded yet.
    held: Arc<Semaphore>,
    /// Turns with the outside.
    under_way: Arc<Semaphore>,
    /// One has ended.
    room: Arc<Notify>,
    ended: mpsc::Sender<Attempted<W>>,
}

impl<W: Way> Taker<W> {
    /// How many may be taken up now: as many as may be under way; on a slow disk as many more as will have left before the next flush.
    fn free(&self) -> usize {
        let ahead = 1 + usize::try_from(self.session.db.flushing().as_millis() / 125).unwrap_or(AHEAD);
        let held = W::AT_ONCE * AHEAD - self.held.available_permits();
        (W::AT_ONCE * ahead.min(AHEAD)).saturating_sub(held)
    }

    /// Takes them up, and begins to deliver them; tells whether there may be more.
    async fn take(&mut self) -> Result<bool, Error<W::Refusal>> {
        let free = self.free();
        if free == 0 {
            return Ok(false);
        }
        let db = self.session.db.clone();
        let (taken, items) = db.in_time(self.taken(free)).await?;
        let more = taken.len() == free;
        let mut items: HashMap<_, _> = items.into_iter().collect();
        for delivery in taken {
            let Some(item) = items.remove(&delivery.id) else {
                tracing::error!(effect = %delivery.id, way = W::NAME, "a delivery of nothing: nobody wrote down what it is");
                continue;
            };
            let (way, db, ended) = (self.way.clone(), db.clone(), self.ended.clone());
            let (under_way, room) = (self.under_way.clone(), self.room.clone());
            let held = self.held.clone().acquire_owned().await;
            tokio::spawn(async move {
                let attempted = attempt(&way, &db, &under_way, delivery, item).await;
                // Fails only when nobody records any more: the lease ends by itself then.
                let _ = ended.send(attempted).await;
                // Last: what is sent must not pile up before it is recorded.
                drop(held);
                room.notify_one();
            });
        }
        Ok(more)
    }

    async fn taken(&mut self, free: usize) -> Result<Taken<W>, Error<W::Refusal>> {
        let (mut connection, db) = (self.session.take().await?, &self.session.db);
        let lease = lease::length(db.flushing());
        let taken = store::take(&mut connection, W::NAME, &db.instance, lease, free).await?;
        let ids: Vec<_> = taken.iter().map(|one| one.id).collect();
        let items = if ids.is_empty() { Vec::new() } else { self.way.load(&mut connection, &ids).await? };
        self.session.keep(connection);
        Ok((taken, items))
    }
}

async fn attempt<W: Way>(way: &W, db: &Db, turns: &Semaphore, delivery: Leased, item: W::Item) -> Attempted<W> {
    let span = tracing::info_span!("deliver", otel.kind = "client", otel.name = format!("deliver {}", W::NAME), effect = %delivery.id);
    trace::continue_trace(&span, delivery.traceparent.as_deref());
    let steps = AssertUnwindSafe(steps(way, db, turns, &delivery, &item)).catch_unwind().instrument(span.clone());
    let (step, ready) = steps.await.unwrap_or_else(|_| {
        tracing::error!(effect = %delivery.id, way = W::NAME, "a delivery panicked; it is tried again");
        (LATER, None)
    });
    Attempted { delivery, item, ready, step, span }
}

/// Nothing leaves before it is on disk that it was taken up; whoever waits for the disk has no turn meanwhile.
async fn steps<W: Way>(
    way: &W,
    db: &Db,
    turns: &Semaphore,
    delivery: &Leased,
    item: &W::Item,
) -> (Step, Option<W::Ready>) {
    if !W::MARKED && !flushed(db, delivery).await {
        return (LATER, None);
    }
    let (safe, mut turn) = (Instant::now(), turns.acquire().await);
    let ready = match way.prepare(delivery, item).await {
        Ok(Some(ready)) => ready,
        Ok(None) => return (Step::Ended(Outcome::NoContact), None),
        Err(error) => {
            tracing::warn!(effect = %delivery.id, way = W::NAME, error = %Chain(&error), "cannot be prepared now");
            return (LATER, None);
        }
    };
    if let Some(step) = stays(way, delivery, item, &ready).await {
        return (step, Some(ready));
    }
    if W::MARKED {
        drop(turn);
        if !marked(db, delivery).await || !flushed(db, delivery).await {
            return (LATER, Some(ready));
        }
        turn = turns.acquire().await;
    } else if safe.elapsed() > FRESH + db.flushing() && !flushed(db, delivery).await {
        return (LATER, Some(ready));
    }
    let step = leave(way, delivery, item, &ready).await;
    drop(turn);
    (step, Some(ready))
}

async fn flushed(db: &Db, delivery: &Leased) -> bool {
    db.flushed(delivery.server, delivery.since).await.is_ok()
}

/// Why it does not leave: the outside has it already, or it must not.
async fn stays<W: Way>(way: &W, delivery: &Leased, item: &W::Item, ready: &W::Ready) -> Option<Step> {
    if delivery.doubtful {
        match way.find(delivery.id, Some(ready)).await {
            Found::Accepted(answer) => return Some(Step::Accepted(answer)),
            Found::Delivered => return Some(Step::Accepted(String::new())),
            Found::Failed => return Some(Step::Ended(Outcome::Failed)),
            Found::Unknown => return Some(LATER),
            Found::Absent => {}
        }
    }
    match way.may_leave(delivery, item, ready, delivery.now()) {
        Leave::Yes => None,
        Leave::Held => Some(Step::Ended(Outcome::Held)),
        Leave::Superseded => Some(Step::Ended(Outcome::Superseded)),
    }
}

async fn leave<W: Way>(way: &W, delivery: &Leased, item: &W::Item, ready: &W::Ready) -> Step {
    // A process that slept through its lease must not act on it.
    let lease = delivery.lease();
    if !lease.holds() {
        return LATER;
    }
    match way.send(delivery, item, ready, lease).await {
        Sent::Accepted(answer) => Step::Accepted(answer),
        Sent::Refused => Step::Ended(Outcome::Failed),
        Sent::NotTaken => Step::Again { offered: true },
        Sent::NotOffered => LATER,
    }
}

/// False when somebody took it up since, or the server stays away.
async fn marked(db: &Db, delivery: &Leased) -> bool {
    loop {
        match db.in_time(store::mark_left(db, delivery)).await {
            Ok(mine) => return mine,
            Err(error) if !error::is_permanent(&error) && delivery.lease().holds() => {
                stop::pause(Duration::from_millis(50)).await;
            }
            Err(_) => return false,
        }
    }
}

/// Records attempts until all of them have ended, as many in one batch as have ended meanwhile.
async fn record<W: Way>(way: W, db: Db, context: Context, mut attempts: mpsc::Receiver<Attempted<W>>) {
    let (mut batch, mut session) = (Vec::with_capacity(W::AT_ONCE), db.session());
    while attempts.recv_many(&mut batch, W::AT_ONCE).await > 0 {
        let began = Instant::now();
        record_batch(&way, &context, &mut session, &batch).await;
        let more = batch.len() == W::AT_ONCE;
        batch.clear();
        if !more {
            stop::idle(began, 10 * IDLE).await;
        }
    }
}

/// In one transaction for all, waiting for a server that has gone away for half of the lease; or for each alone where one of them cannot
/// be recorded: that one is taken up again after its lease.
async fn record_batch<W: Way>(way: &W, context: &Context, session: &mut Session, batch: &[Attempted<W>]) {
    let (db, began) = (session.db.clone(), Instant::now());
    loop {
        match db.in_time(in_transaction(way, context, session, batch)).await {
            Ok(()) => return,
            Err(Error::Database(error)) if !error::is_permanent(&error) && began.elapsed() < LEASE / 2 => {
                stop::pause(Duration::from_millis(50)).await;
            }
            Err(_) => break,
        }
    }
    for one in batch {
        if let Err(error) = db.in_time(in_transaction(way, context, session, std::slice::from_ref(one))).await {
            tracing::warn!(effect = %one.delivery.id, way = W::NAME, error = %Chain(&error), "taken up again after its lease");
        }
    }
}

async fn in_transaction<W: Way>(
    way: &W,
    context: &Context,
    session: &mut Session,
    batch: &[Attempted<W>],
) -> Result<(), Error<W::Refusal>> {
    let mut connection = session.take().await?;
    let mut tx = connection.begin().await?;
    record_all(way, context, &mut tx, batch).await?;
    tx.commit().await?;
    session.keep(connection);
    session.db.committed();
    Ok(())
}

/// A number of statements that does not grow with the batch, and what the way makes of what has changed.
async fn record_all<W: Way>(
    way: &W,
    context: &Context,
    tx: &mut PgConnection,
    batch: &[Attempted<W>],
) -> Result<(), Error<W::Refusal>> {
    let (mut taken_over, mut over, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for Attempted { delivery, step, .. } in batch {
        match step {
            Step::Accepted(answer) => taken_over.push((delivery.id, answer.as_str())),
            Step::Ended(outcome) => over.push((delivery, outcome)),
            Step::Again { offered } => later.push((delivery, *offered)),
        }
    }
    let (mut accepted, mut changed) = (HashMap::new(), HashSet::new());
    if !taken_over.is_empty() {
        accepted.extend(store::accepted(tx, &taken_over, W::RECEIPTS).await?);
    }
    if !over.is_empty() {
        changed.extend(store::ended(tx, &over).await?);
    }
    if !later.is_empty() {
        store::again(tx, &later).await?;
    }
    // Two attempts at one delivery may end in one batch: it changed once.
    let ended = batch.iter().filter_map(|one| one.ended(&mut accepted, &mut changed));
    let ended: Vec<_> = ended.collect();
    if ended.is_empty() { Ok(()) } else { way.ended(tx, context, &ended).await }
}

impl<W: Way> Attempted<W> {
    /// None where it goes on, or nothing has changed by it.
    fn ended(&self, accepted: &mut HashMap<Uuid, Timestamp>, changed: &mut HashSet<Uuid>) -> Option<Ended<'_, W>> {
        let outcome = match &self.step {
            Step::Accepted(_) => Outcome::Accepted(accepted.remove(&self.delivery.id)?),
            Step::Ended(outcome) if changed.remove(&self.delivery.id) => outcome.clone(),
            Step::Ended(_) | Step::Again { .. } => return None,
        };
        if let Outcome::Accepted(at) = outcome {
            metrics::late(W::NAME, at - self.delivery.due_at);
        }
        let Attempted { delivery, item, ready, span, .. } = self;
        Some(Ended { delivery, item, ready: ready.as_ref(), outcome, span })
    }
}
