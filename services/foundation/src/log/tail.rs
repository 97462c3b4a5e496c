//! The live end of this process's log: one reader of it, while anybody watches, gives each watcher what is for it. A watcher that falls
//! behind is cut off and goes on from the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::audience::Watched;
use super::bus::Bus;
use super::entry::Entry;
use crate::base::{Chain, Stop, stop};
use crate::data::Db;

/// How often the log is looked at when nothing wakes the tail.
const POLL: Duration = Duration::from_millis(200);
/// Rows read at once.
const BATCH: i64 = 500;
/// Entries that a watcher may be behind before it is cut off.
const MAILBOX: usize = 64;

/// What a watcher gets from now on.
pub struct Live {
    /// The log that it watches.
    pub log_id: Uuid,
    /// Everything past this comes.
    pub from: i64,
    /// Entries in order of their positions. Ends when the watcher fell behind, or the log became another.
    pub entries: mpsc::Receiver<Arc<Entry>>,
    /// How far the tail has come: what is past a watcher's last entry and up to here was not for it, once its entries are empty.
    pub reached: watch::Receiver<i64>,
}

/// Asks the tail for a watcher's entries.
#[derive(Debug, Clone)]
pub struct Tail(mpsc::Sender<(Watched, oneshot::Sender<Live>)>);

impl Tail {
    /// A tail, and what runs it.
    pub fn new(service: &'static str, db: Db, bus: Bus) -> (Tail, Runner) {
        let (ask, asked) = mpsc::channel(64);
        let reached = watch::Sender::new(0);
        let runner = Runner {
            service,
            db,
            bus,
            asked,
            reached,
            log_id: Uuid::nil(),
            position: 0,
            watchers: Watchers::default(),
        };
        (Tail(ask), runner)
    }

    /// None while the service stops.
    pub async fn watch(&self, watched: Watched) -> Option<Live> {
        let (reply, live) = oneshot::channel();
        self.0.send((watched, reply)).await.ok()?;
        live.await.ok()
    }
}

/// A watcher's sender; gone once it has fallen behind, so that nothing reaches it past a gap.
type Mailbox = Arc<Mutex<Option<mpsc::Sender<Arc<Entry>>>>>;

#[derive(Default)]
struct Watchers {
    /// Everybody, also who sees nothing: they wait too.
    present: Vec<Mailbox>,
    all: Vec<Mailbox>,
    /// By an audience's name, or what an area's begins with.
    named: HashMap<String, Vec<Mailbox>>,
}

impl Watchers {
    fn add(&mut self, watched: Watched, mailbox: &Mailbox) {
        self.present.push(mailbox.clone());
        if watched.all {
            self.all.push(mailbox.clone());
        }
        for name in watched.names.into_iter().chain(watched.area) {
            self.named.entry(name).or_default().push(mailbox.clone());
        }
    }

    fn deliver(&mut self, entry: &Arc<Entry>) {
        self.all.retain(|mailbox| post(mailbox, entry));
        for audience in &entry.audiences {
            for name in names(audience) {
                if let Some(mailboxes) = self.named.get_mut(name) {
                    mailboxes.retain(|mailbox| post(mailbox, entry));
                }
            }
        }
    }

    /// Forgets who has gone.
    fn prune(&mut self) {
        let lives = |mailbox: &Mailbox| {
            mailbox.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|sender| !sender.is_closed())
        };
        self.present.retain(lives);
        self.all.retain(lives);
        self.named.retain(|_, mailboxes| {
            mailboxes.retain(lives);
            !mailboxes.is_empty()
        });
    }

    fn is_empty(&self) -> bool {
        self.present.is_empty()
    }
}

/// What a watcher of this audience may be known by: its name, or for an area any that it begins with.
fn names(audience: &str) -> impl Iterator<Item = &str> {
    let shortest = if audience.starts_with("area:") { "area:".len() + 1 } else { audience.len() };
    (shortest..=audience.len()).filter_map(|length| audience.get(..length))
}

/// False when the watcher has gone or is cut off.
fn post(mailbox: &Mailbox, entry: &Arc<Entry>) -> bool {
    let mut sender = mailbox.lock().unwrap_or_else(PoisonError::into_inner);
    let posted = sender.as_ref().is_some_and(|sender| sender.try_send(entry.clone()).is_ok());
    if !posted {
        *sender = None;
    }
    posted
}

/// Reads the log for all watchers of this process.
pub struct Runner {
    service: &'static str,
    db: Db,
    bus: Bus,
    asked: mpsc::Receiver<(Watched, oneshot::Sender<Live>)>,
    reached: watch::Sender<i64>,
    log_id: Uuid,
    position: i64,
    watchers: Watchers,
}

impl Runner {
    /// Until told to stop. Reads nothing while nobody watches.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let mut log = self.db.log();
        let mut hints = self.bus.hints(self.service).await?;
        while !stop.requested() {
            let watched = !self.watchers.is_empty();
            tokio::select! {
                () = stop.wait() => {}
                asked = self.asked.recv() => match asked {
                    Some((watched, reply)) => self.admit(watched, reply).await,
                    None => return Ok(()),
                },
                _ = log.changed(), if watched => self.catch_up().await,
                Some(_) = hints.next() => {
                    // However many have come meanwhile; and none is kept for whoever watches later.
                    while hints.next().now_or_never().flatten().is_some() {}
                    if watched {
                        self.catch_up().await;
                    }
                }
                () = stop::pause(POLL), if watched => {
                    self.catch_up().await;
                    self.watchers.prune();
                }
            }
        }
        Ok(())
    }

    async fn admit(&mut self, watched: Watched, reply: oneshot::Sender<Live>) {
        self.watchers.prune();
        if self.watchers.is_empty() {
            match self.db.in_time(head(&self.db)).await {
                Ok((log_id, position)) => {
                    (self.log_id, self.position) = (log_id, position);
                    self.reached.send_replace(position);
                }
                // Whoever asked is told nothing, and asks again.
                Err(error) => return tracing::warn!(error = %Chain(&error), "nobody can begin to watch now"),
            }
        }
        let (sender, entries) = mpsc::channel(MAILBOX);
        let live = Live { log_id: self.log_id, from: self.position, entries, reached: self.reached.subscribe() };
        self.watchers.add(watched, &Arc::new(Mutex::new(Some(sender))));
        // Gone when whoever asked has gone; pruned then.
        let _ = reply.send(live);
    }

    async fn catch_up(&mut self) {
        let db = self.db.clone();
        loop {
            match db.in_time(self.next()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the log cannot be watched now");
                    return stop::pause(POLL).await;
                }
            }
        }
    }

    /// Delivers some entries; true when there may be more.
    async fn next(&mut self) -> sqlx::Result<bool> {
        let entries = Entry::read(&self.db.work(), self.position, i64::MAX, BATCH).await?;
        let more = i64::try_from(entries.len()) == Ok(BATCH);
        if entries.is_empty() && head(&self.db).await?.0 != self.log_id {
            // Another log: whoever watches asks again, and learns whether its cursor goes on.
            self.watchers = Watchers::default();
            return Ok(false);
        }
        for entry in entries {
            self.position = entry.position;
            self.watchers.deliver(&Arc::new(entry));
        }
        self.reached.send_replace(self.position);
        Ok(more)
    }
}

async fn head(db: &Db) -> sqlx::Result<(Uuid, i64)> {
    let head = sqlx::query!("select log_id, position from log_head").fetch_one(&db.work()).await?;
    Ok((head.log_id, head.position))
}
