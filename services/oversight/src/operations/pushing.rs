//! Pushing to 阳光+: taken up under a lease (commit), handed over under a constant id, recorded with the receipt (commit).
//! Whoever takes a case up again first asks 阳光+ whether it has it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::clock::{self, Timestamp};
use foundation::db::{Chain, stays};
use foundation::host::pause;
use foundation::lease::Lease;
use foundation::{outbox, telemetry};
use futures::FutureExt as _;
use proto::common::v1::TargetRole;
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use proto::dispatch::v1::{ResolveTargetRequest, ResolveTargetResponse};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Operations;
use crate::announcements;
use crate::domain::{Leaving, backoff, leaves};
use crate::error::Error;
use crate::platform::{Document, Line, Pushed, Receipt};
use crate::{store, views};

/// The lease that `store::take` gives. A call to 阳光+ begins in its first half and ends within 2 s, so whoever takes the case up
/// after it asks a platform that has decided.
pub const LEASE: Duration = Duration::from_secs(4);

/// A case under lease.
#[derive(Debug, Clone)]
pub struct Taken {
    pub(crate) id: Uuid,
    pub(crate) whistle: Uuid,
    pub(crate) assignment: Uuid,
    pub(crate) ladder: Uuid,
    pub(crate) due_at: Timestamp,
    pub(crate) fault_after: TimeDelta,
    /// 阳光+ had it before it and did not take it.
    pub offered: bool,
    /// It may have left already: taken up before, or due before a restore was released.
    pub doubtful: bool,
    pub(crate) released: bool,
    pub(crate) attempts: i32,
    pub(crate) traceparent: Option<String>,
    pub(crate) since: Instant,
}

/// A correction under lease.
#[derive(Debug, Clone)]
pub struct TakenCorrection {
    pub(crate) id: Uuid,
    pub(crate) case: Uuid,
    pub(crate) assignment: Uuid,
    pub(crate) ladder: Uuid,
    pub(crate) doubtful: bool,
    pub(crate) text: String,
    pub(crate) attempts: i32,
    pub(crate) since: Instant,
}

/// What 阳光+ has of a document.
enum Found {
    Receipt(Receipt),
    Nothing,
    Unknown,
}

impl Operations {
    /// Pushes one case, or holds it, or leaves it for a later attempt.
    pub async fn push(&self, taken: Taken) {
        let span = tracing::info_span!("push case", otel.kind = "client", effect = %taken.id);
        telemetry::continue_trace(&span, taken.traceparent.as_deref());
        match AssertUnwindSafe(self.attempt(&taken)).catch_unwind().instrument(span).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(effect = %taken.id, error = %Chain(&error), "a case is pushed again later");
            }
            Err(_) => {
                tracing::error!(effect = %taken.id, "pushing this case panicked; it is tried again after its lease")
            }
        }
    }

    async fn attempt(&self, taken: &Taken) -> Result<(), Error> {
        let again = |offered| {
            let again = move || store::again(&self.db, taken.id, taken.attempts, backoff(taken.attempts), offered);
            self.in_hand(taken, again)
        };
        let matter = match self.matter(taken.assignment, taken.ladder).await {
            Ok(matter) => matter,
            Err(error) => {
                again(false).await?;
                return Err(error);
            }
        };
        match self.earlier(taken.id, taken.doubtful).await {
            Found::Receipt(receipt) => return self.in_hand(taken, || self.record(taken, &receipt)).await,
            Found::Nothing => {}
            Found::Unknown => return again(false).await,
        }
        if !self.in_hand(taken, || self.may_leave(taken)).await? {
            tracing::warn!(effect = %taken.id, "the platform itself was late: the case waits for the centre's release");
            return self.in_hand(taken, || store::hold(&self.db, taken.id, taken.attempts)).await;
        }
        // Marked as sent before the timeline is read: an annulment is on the timeline, or it makes a correction.
        if !self.in_hand(taken, || store::first_sent(&self.db, taken.id, taken.attempts)).await? {
            return Ok(());
        }
        let document = self.in_hand(taken, || self.document(taken, &matter)).await?;
        // A process that slept through its lease must not act on it.
        let lease = Lease::first_half(taken.since, LEASE);
        if !lease.holds() {
            return again(false).await;
        }
        match self.platform.push(&document, lease).await {
            Pushed::Received(receipt) => self.in_hand(taken, || self.record(taken, &receipt)).await,
            Pushed::NotTaken => again(true).await,
            Pushed::NotOffered => again(false).await,
        }
    }

    /// Does this, again when the server goes away, until the half of the lease: whatever is done so may be done twice. What is given up
    /// waits for the other half.
    async fn in_hand<T, E, F>(&self, taken: &Taken, work: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, E>>,
        E: From<sqlx::Error>,
        Error: From<E>,
    {
        loop {
            match self.db.in_time(work()).await.map_err(Error::from) {
                Err(Error::Database(error)) if !stays(&error) && taken.since.elapsed() < LEASE / 2 => {
                    pause(Duration::from_millis(50)).await;
                }
                done => return done,
            }
        }
    }

    /// What 阳光+ has of a document that may have left before.
    async fn earlier(&self, id: Uuid, doubtful: bool) -> Found {
        if !doubtful {
            return Found::Nothing;
        }
        match self.platform.find(id).await {
            Ok(Some(receipt)) => Found::Receipt(receipt),
            Ok(None) => Found::Nothing,
            Err(()) => Found::Unknown,
        }
    }

    async fn may_leave(&self, taken: &Taken) -> sqlx::Result<bool> {
        let now = clock::now(&mut *self.db.work().acquire().await?).await?;
        let Taken { due_at, fault_after, offered, released, .. } = *taken;
        Ok(leaves(Leaving { due_at, fault_after, offered, released }, now))
    }

    /// Asked of dispatch, which refuses as long as it is held itself.
    async fn matter(&self, assignment: Uuid, ladder: Uuid) -> Result<ResolveTargetResponse, Error> {
        let request = ResolveTargetRequest {
            assignment_id: assignment.to_string(),
            ladder_id: ladder.to_string(),
            target: TargetRole::OversightPlatform.into(),
        };
        let request = self.dispatch.question(request).await.map_err(Box::new)?;
        let mut client = DirectoryServiceClient::new(self.dispatch.channel());
        Ok(client.resolve_target(request).await.map_err(Box::new)?.into_inner())
    }

    async fn document(&self, taken: &Taken, matter: &ResolveTargetResponse) -> Result<Document, Error> {
        let timeline = views::timeline(&mut *self.db.work().acquire().await?, taken.whistle, taken.assignment).await?;
        Ok(Document {
            id: taken.id,
            kind: "case",
            corrects: None,
            unit: matter.unit_name.clone(),
            title: matter.title.clone(),
            place: matter.place.clone(),
            timeline: timeline.iter().map(Line::of).collect(),
            text: String::new(),
        })
    }

    async fn record(&self, taken: &Taken, receipt: &Receipt) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let now = clock::now(&mut tx).await?;
        if store::pushed(&mut tx, taken.id, &receipt.receipt, now).await? {
            telemetry::late("push", now - taken.due_at);
            let fact = announcements::pushed(taken.id, taken.whistle, taken.assignment, now);
            outbox::announce(&mut tx, vec![fact]).await?;
        }
        Ok(self.db.commit(tx).await?)
    }

    /// Sends one correction, or leaves it for a later attempt.
    pub async fn push_correction(&self, taken: TakenCorrection) {
        let document = Document {
            id: taken.id,
            kind: "correction",
            corrects: Some(taken.case),
            unit: String::new(),
            title: String::new(),
            place: String::new(),
            timeline: Vec::new(),
            text: taken.text.clone(),
        };
        let lease = Lease::first_half(taken.since, LEASE);
        let may_leave = self.matter(taken.assignment, taken.ladder).await.is_ok();
        let receipt = match self.earlier(taken.id, taken.doubtful).await {
            Found::Receipt(receipt) => Some(receipt),
            Found::Nothing if may_leave && lease.holds() => match self.platform.push(&document, lease).await {
                Pushed::Received(receipt) => Some(receipt),
                Pushed::NotTaken | Pushed::NotOffered => None,
            },
            Found::Nothing | Found::Unknown => None,
        };
        let recorded = async {
            match receipt {
                Some(receipt) => store::corrected(&self.db, taken.id, &receipt.receipt).await,
                None => store::correct_again(&self.db, taken.id, taken.attempts, backoff(taken.attempts)).await,
            }
        };
        if let Err(error) = self.db.in_time(recorded).await {
            tracing::warn!(correction = %taken.id, error = %Chain(&error), "a correction is sent again after its lease");
        }
    }
}
