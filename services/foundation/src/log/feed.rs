//! The feed: the one way anybody outside watches what changes. An entry tells that something has changed, never what it is now; whoever
//! may see it asks for it by its id. Pulls, streams, and whatever else watches, are readers of it, and a cursor of one works in all.
//!
//! A stream begins in the log, past its cursor, and goes on live ([`super::tail`]). Every few seconds without an entry a heartbeat carries
//! the cursor forward, so that a watcher to whom little happens need not reread much. Nothing waits for a reader: a cursor older than the
//! log is told so, and its holder lists anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, Stream};
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use uuid::Uuid;

use super::audience::Watched;
use super::cursor::{Cursor, Sealer};
use super::entry::Entry;
use super::tail::{Live, Tail};
use crate::base::{Invalid, Stop, stop};
use crate::call::Call;
use crate::call::status::{internal, with_reason};
use crate::data::{Db, restore};

/// Positions read from the log at once.
const RANGE: i64 = 1000;
/// Ranges that one pull looks through at most.
const RANGES: usize = 20;
/// Between two heartbeats of a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Streams of one caller at once.
const STREAMS: usize = 64;

/// Readers of the log at once: who rereads much, or a thousand who come back, leave connections for other calls.
const READING: usize = 2;

/// What a stream gives: an entry, or a heartbeat; and where to go on after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Sealed.
    pub cursor: String,
    /// None in a heartbeat.
    pub entry: Option<Entry>,
}

/// The log as it stands.
struct Head {
    log_id: Uuid,
    position: i64,
    earlier_log_id: Option<Uuid>,
    earlier_position: Option<i64>,
    oldest: i64,
}

/// One service's feed.
#[derive(Debug, Clone)]
pub struct Feed {
    db: Db,
    tail: Tail,
    sealer: Sealer,
    stop: Stop,
    streams: Arc<Mutex<HashMap<String, usize>>>,
    /// Of the calls' connections.
    reading: Arc<Semaphore>,
}

/// Which of a service's entries a reader is about.
pub type About = fn(&str) -> bool;

impl Feed {
    pub(crate) fn new(db: Db, tail: Tail, sealer: Sealer, stop: Stop) -> Feed {
        Feed { db, tail, sealer, stop, streams: Arc::default(), reading: Arc::new(Semaphore::new(READING)) }
    }

    /// Up to so many entries past a cursor, inside the caller's scope, and where to go on: fewer, or none, say nothing of what is there.
    pub async fn after<Q>(
        &self,
        call: &Call<Q>,
        about: About,
        cursor: &str,
        size: i32,
    ) -> Result<(Vec<Entry>, String), Status> {
        let watched = Watched::of(call.scope());
        let size = if size <= 0 { 50 } else { size.min(200) };
        let (mut cursor, head) = self.start(cursor).await?;
        let mut found = Vec::new();
        for _ in 0..RANGES {
            if cursor.position >= head.position {
                break;
            }
            for entry in self.range(&mut cursor, head.position, &watched, about).await? {
                if found.len() == usize::try_from(size).unwrap_or(usize::MAX) {
                    cursor.position = entry.position - 1;
                    return Ok((found, self.sealer.seal(cursor)));
                }
                found.push(entry);
            }
        }
        Ok((found, self.sealer.seal(cursor)))
    }

    /// Entries past a cursor and from then on, inside the caller's scope, until the token expires or the service stops.
    pub async fn watch<Q>(
        &self,
        call: &Call<Q>,
        about: About,
        cursor: &str,
    ) -> Result<impl Stream<Item = Result<Beat, Status>> + Send + use<Q>, Status> {
        let counted = self.count(&call.context().caller.subject)?;
        let (cursor, _) = self.start(cursor).await?;
        let first = Beat { cursor: self.sealer.seal(cursor), entry: None };
        let reader = Reader {
            feed: self.clone(),
            watched: Watched::of(call.scope()),
            about,
            cursor,
            live: None,
            pending: VecDeque::from([first]),
            expires: call.expires(),
            over: false,
            _counted: counted,
        };
        Ok(stream::unfold(reader, |mut reader| async move { reader.next().await.map(|beat| (beat, reader)) }))
    }

    fn count(&self, subject: &str) -> Result<Counted, Status> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(subject.to_owned()).or_default();
        if *count >= STREAMS {
            return Err(Status::resource_exhausted(format!("no more than {STREAMS} streams of one caller at once")));
        }
        *count += 1;
        Ok(Counted { streams: self.streams.clone(), subject: subject.to_owned() })
    }

    /// Where a reader with this cursor begins: past it, or at the end when it has none.
    async fn start(&self, sealed: &str) -> Result<(Cursor, Head), Status> {
        let head = self.head().await?;
        if sealed.is_empty() {
            return Ok((Cursor { log_id: head.log_id, position: head.position }, head));
        }
        let cursor = self.sealer.open(sealed);
        let cursor = cursor.ok_or_else(|| Invalid::one("cursor", "must be a cursor that this service gave"))?;
        Ok((self.resume(cursor, &head).await?, head))
    }

    /// The cursor in the log as it stands.
    async fn resume(&self, cursor: Cursor, head: &Head) -> Result<Cursor, Status> {
        let earlier = head.earlier_log_id.zip(head.earlier_position);
        let goes_on = earlier.is_some_and(|(log_id, until)| cursor.log_id == log_id && cursor.position <= until);
        let changed = || {
            with_reason(
                Code::FailedPrecondition,
                "LOG_CHANGED",
                "the log is another one now: list anew, and watch from now",
            )
        };
        if cursor.log_id != head.log_id && !goes_on {
            return Err(changed());
        }
        if cursor.position > head.position {
            // It is ours, and ahead of us: the log was set back.
            let renewed = async {
                let mut tx = self.db.begin().await?;
                restore::renew(&mut tx).await?;
                self.db.commit(tx).await
            };
            self.db.in_time(renewed).await.map_err(internal)?;
            return Err(changed());
        }
        if cursor.position + 1 < head.oldest {
            let message = "the log does not reach back so far any more: list anew, and watch from now";
            return Err(with_reason(Code::FailedPrecondition, "CURSOR_EXPIRED", message));
        }
        Ok(Cursor { log_id: head.log_id, ..cursor })
    }

    async fn head(&self) -> Result<Head, Status> {
        let _turn = self.reading.acquire().await.map_err(internal)?;
        let pool = self.db.rpc();
        let head = sqlx::query_as!(
            Head,
            r#"select log_id, position, earlier_log_id, earlier_position,
                      coalesce((select min(position) from outbox where position is not null), position + 1) as "oldest!"
               from log_head"#
        );
        self.db.in_time(head.fetch_one(&pool)).await.map_err(internal)
    }

    /// The entries of the next range of positions that are for this reader; the cursor moves past the range.
    async fn range(
        &self,
        cursor: &mut Cursor,
        until: i64,
        watched: &Watched,
        about: About,
    ) -> Result<Vec<Entry>, Status> {
        let end = until.min(cursor.position + RANGE);
        let _turn = self.reading.acquire().await.map_err(internal)?;
        let pool = self.db.rpc();
        let read = self.db.in_time(Entry::read(&pool, cursor.position, end, RANGE)).await.map_err(internal)?;
        cursor.position = end;
        Ok(read.into_iter().filter(|entry| about(&entry.subject) && watched.matches(&entry.audiences)).collect())
    }
}

fn expired() -> Status {
    Status::unauthenticated("the token has expired: go on from the last cursor with a new one")
}

/// A stream that counts for its caller.
struct Counted {
    streams: Arc<Mutex<HashMap<String, usize>>>,
    subject: String,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.subject);
            }
        }
    }
}

/// One stream.
struct Reader {
    feed: Feed,
    watched: Watched,
    about: About,
    cursor: Cursor,
    live: Option<Live>,
    pending: VecDeque<Beat>,
    expires: Instant,
    over: bool,
    _counted: Counted,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Beat, Status>> {
        while !self.over {
            if let Some(beat) = self.pending.pop_front() {
                return Some(Ok(beat));
            }
            if self.feed.stop.requested() {
                return None;
            }
            if self.expires <= Instant::now() {
                self.over = true;
                return Some(Err(expired()));
            }
            if let Err(status) = self.go_on().await {
                self.over = true;
                return Some(Err(status));
            }
        }
        None
    }

    /// Until something is pending, or there is something else to do.
    async fn go_on(&mut self) -> Result<(), Status> {
        let from = match &self.live {
            Some(live) => live.from,
            None => return self.go_live().await,
        };
        if self.cursor.position < from {
            for entry in self.feed.range(&mut self.cursor, from, &self.watched, self.about).await? {
                self.give(entry);
            }
            return Ok(());
        }
        self.wait().await
    }

    /// Asks for what comes from now on, before it reads what is in between.
    async fn go_live(&mut self) -> Result<(), Status> {
        let live = self.feed.tail.watch(self.watched.clone()).await;
        let live = live.ok_or_else(|| Status::unavailable("nobody can watch now: go on from the last cursor"))?;
        let head = self.feed.head().await?;
        self.cursor = self.feed.resume(self.cursor, &head).await?;
        // The log became another in between: once more.
        self.live = (live.log_id == head.log_id).then_some(live);
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Status> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let expiry = self.expires.saturating_duration_since(Instant::now());
        tokio::select! {
            entry = live.entries.recv() => match entry {
                Some(entry) if entry.position > self.cursor.position => {
                    self.cursor.position = entry.position;
                    if (self.about)(&entry.subject) {
                        self.give(Arc::unwrap_or_clone(entry));
                    }
                }
                // Already read from the log.
                Some(_) => {}
                // It fell behind, or the log became another: from the log again.
                None => self.live = None,
            },
            () = self.feed.stop.wait() => {}
            () = stop::pause(expiry) => return Err(expired()),
            () = stop::pause(HEARTBEAT) => {
                let reached = *live.reached.borrow();
                if live.entries.is_empty() {
                    self.cursor.position = self.cursor.position.max(reached);
                }
                self.pending.push_back(Beat { cursor: self.feed.sealer.seal(self.cursor), entry: None });
            }
        }
        Ok(())
    }

    fn give(&mut self, entry: Entry) {
        let cursor = Cursor { position: entry.position, ..self.cursor };
        self.pending.push_back(Beat { cursor: self.feed.sealer.seal(cursor), entry: Some(entry) });
    }
}
