//! What a way out has to know; the rest is the same for all of them.

use std::time::Instant;

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::lease::Lease;
use crate::base::{Context, Error, Refuse, Timestamp};
use crate::data::flush::Server;

/// A delivery that this process has taken up.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The effect's id, which the outside is given.
    pub id: Uuid,
    /// What it is about.
    pub subject: Uuid,
    /// Role of whom it is for.
    pub target: String,
    /// When it was due.
    pub due_at: Timestamp,
    /// How often it was taken up, this time included.
    pub attempts: i32,
    /// The outside had it before it and did not take it: a delay from then on is the outside's.
    pub offered: bool,
    /// The centre let it go.
    pub released: bool,
    /// It may have left already: it was taken up before, or was due before a restore was released.
    pub doubtful: bool,
    /// Trace of what asked for it.
    pub traceparent: Option<String>,
    pub(super) taken_at: Timestamp,
    /// When Postgres gives it to others: which lease this is. A count would not tell: taking up may be undone by a crash and done anew.
    pub(super) leased_until: Timestamp,
    pub(super) since: Instant,
    pub(super) server: Server,
    pub(super) lease: Lease,
}

impl Leased {
    /// What Postgres's clock shows: what it showed when this was taken up, and the time since then.
    pub fn now(&self) -> Timestamp {
        self.taken_at + TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::MAX)
    }

    /// Within which it may begin to leave.
    pub fn lease(&self) -> Lease {
        self.lease
    }
}

/// Whether something may leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Yes,
    /// It waits for the centre's release.
    Held,
    /// It must not any more.
    Superseded,
}

/// What the outside has of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It took it over, and answered so.
    Accepted(String),
    /// It reached whom it is for.
    Delivered,
    /// It could not be delivered.
    Failed,
    /// It never got it.
    Absent,
    /// It cannot be asked now.
    Unknown,
}

/// What the outside made of a delivery that was handed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It took it over, and answered so.
    Accepted(String),
    /// It will never take it.
    Refused,
    /// It may or may not have it, or turned it away for now: it is asked before the next attempt. The delay is the outside's.
    NotTaken,
    /// It was never asked: this process had slept.
    NotOffered,
}

/// How a delivery ended, or went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The outside took it over, then.
    Accepted(Timestamp),
    /// The outside will never take it, or could not deliver it.
    Failed,
    /// No receipt came in the time that receipts are waited for.
    Unknown,
    /// Late, and overtaken by what happened meanwhile.
    Superseded,
    /// Nobody holds the role.
    NoContact,
    /// It waits for the centre.
    Held,
}

/// A delivery with what became of it, recorded in the transaction that [`Way::ended`] is given.
pub struct Ended<'e, W: Way> {
    /// The delivery.
    pub delivery: &'e Leased,
    /// What it is.
    pub item: &'e W::Item,
    /// What it was prepared with; none after a receipt, or where it came to nothing.
    pub ready: Option<&'e W::Ready>,
    /// What became of it.
    pub outcome: Outcome,
    /// Trace of the attempt.
    pub span: &'e tracing::Span,
}

/// What [`Way::load`] answers.
pub type Loaded<W> = Result<Vec<(Uuid, <W as Way>::Item)>, Error<<W as Way>::Refusal>>;

/// A way out. Every method may be called again for the same delivery, by this process or another.
pub trait Way: Clone + Send + Sync + 'static {
    /// In the table, for example `sms`.
    const NAME: &'static str;
    /// Deliveries under way at once.
    const AT_ONCE: usize;
    /// Whether receipts follow an acceptance: then they are asked for, for 72 h.
    const RECEIPTS: bool = false;
    /// Whether it must be on record that it may have left before it is composed: then a change that happens meanwhile is in it, or
    /// finds it on record.
    const MARKED: bool = false;

    /// What it delivers, as it is stored.
    type Item: Send + Sync + 'static;
    /// What it is prepared with: whom it goes to, what it says.
    type Ready: Send + Sync + 'static;
    /// What the service's domain refuses.
    type Refusal: Refuse;

    /// These, a batch at a time.
    fn load(&self, tx: &mut PgConnection, ids: &[Uuid]) -> impl Future<Output = Loaded<Self>> + Send;

    /// Resolves whom it is for; none when nobody holds the role.
    fn prepare(
        &self,
        delivery: &Leased,
        item: &Self::Item,
    ) -> impl Future<Output = Result<Option<Self::Ready>, Error<Self::Refusal>>> + Send;

    /// Whether it may leave at this instant of Postgres's.
    fn may_leave(&self, delivery: &Leased, item: &Self::Item, ready: &Self::Ready, now: Timestamp) -> Leave;

    /// What the outside already has of it; `ready` where it is prepared.
    fn find(&self, id: Uuid, ready: Option<&Self::Ready>) -> impl Future<Output = Found> + Send;

    /// Hands it over, within the lease.
    fn send(
        &self,
        delivery: &Leased,
        item: &Self::Item,
        ready: &Self::Ready,
        lease: Lease,
    ) -> impl Future<Output = Sent> + Send;

    /// What follows, in the transaction that records it.
    fn ended(
        &self,
        tx: &mut PgConnection,
        context: &Context,
        ended: &[Ended<'_, Self>],
    ) -> impl Future<Output = Result<(), Error<Self::Refusal>>> + Send;
}

/// How long to wait after the given number of failed attempts: quickly at first, at most a minute.
pub(super) fn backoff(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(1, 9).cast_unsigned() - 1;
    TimeDelta::milliseconds(250 << doublings).min(TimeDelta::seconds(60))
}
