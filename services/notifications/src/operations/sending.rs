//! Sending reminders. A message is taken up under a lease (commit), handed to the gateway under its own id, and recorded as
//! accepted (commit). Whoever takes it up again, after a crash or a time-out, first asks the gateway whether it has it: at
//! least once with a constant id, and once where the gateway's answers are unambiguous.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::db::{Chain, Session};
use foundation::lease::Lease;
use foundation::outbox::{self, Announcement};
use foundation::{clock, telemetry};
use futures::FutureExt as _;
use sqlx::PgConnection;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{Operations, Resolved, together};
use crate::announcements::{self, Effect};
use crate::domain::{Kind, Leaving, State, Target, backoff, link, masked, still_leaves, texts};
use crate::error::Error;
use crate::gateway::{Found, Sent};
use crate::store;

/// The lease that `store::take` gives. A call to the gateway begins in its first half and ends within 2 s, so whoever takes the
/// message up after it asks a gateway that has decided.
pub const LEASE: Duration = Duration::from_secs(4);

/// A message under lease.
#[derive(Debug, Clone)]
pub struct Taken {
    pub(crate) id: Uuid,
    pub(crate) whistle: Uuid,
    pub(crate) assignment: Uuid,
    pub(crate) ladder: Uuid,
    pub(crate) kind: Kind,
    pub(crate) rung: i32,
    pub(crate) text: i32,
    pub(crate) target: Target,
    pub(crate) due_at: clock::Timestamp,
    pub(crate) check_after: TimeDelta,
    pub(crate) attempts: i32,
    pub(crate) overtaken: bool,
    /// It may have left already: taken up before, or due before a restore was released.
    pub doubtful: bool,
    pub(crate) traceparent: Option<String>,
    /// When it was taken up, by Postgres's clock.
    pub(crate) taken_at: clock::Timestamp,
    /// Before it was taken up: the lease is never shorter than this process believes.
    pub(crate) since: Instant,
}

/// An attempt that has ended, to be recorded.
pub struct Attempted {
    taken: Taken,
    outcome: Outcome,
    span: Span,
}

/// What became of an attempt.
enum Outcome {
    Accepted { phone: String },
    Not(State),
    Again,
}

impl Operations {
    /// Sends one message, or learns that it must not leave, or leaves it for a later attempt.
    pub async fn send(&self, taken: Taken) -> Attempted {
        let span = tracing::info_span!("send sms", otel.kind = "client", effect = %taken.id, rung = taken.rung);
        telemetry::continue_trace(&span, taken.traceparent.as_deref());
        let attempt = AssertUnwindSafe(self.attempt(&taken)).catch_unwind().instrument(span.clone());
        let outcome = attempt.await.unwrap_or_else(|_| {
            tracing::error!(effect = %taken.id, "sending this reminder panicked; it is tried again");
            Outcome::Again
        });
        Attempted { taken, outcome, span }
    }

    async fn attempt(&self, taken: &Taken) -> Outcome {
        let resolved = match self.resolve(taken.assignment, taken.ladder, taken.target).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::warn!(effect = %taken.id, error = %Chain(&error), "the directory cannot be asked");
                return Outcome::Again;
            }
        };
        let Some(phone) = resolved.contact.as_ref().map(|contact| contact.phone.clone()) else {
            return Outcome::Not(State::NoContact);
        };
        if taken.doubtful {
            match self.gateway.find(taken.id).await {
                Found::Accepted | Found::Delivered => return Outcome::Accepted { phone },
                Found::Failed => return Outcome::Not(State::Failed),
                Found::Unknown => return Outcome::Again,
                Found::Absent => {}
            }
        }
        if !taken.may_leave(&resolved) {
            return Outcome::Not(State::Superseded);
        }
        // A process that slept through its lease must not act on it.
        let lease = Lease::first_half(taken.since, LEASE);
        if !lease.holds() {
            return Outcome::Again;
        }
        let text = self.text(taken, &resolved);
        match self.gateway.send(taken.id, &phone, &text, lease).await {
            Sent::Accepted => Outcome::Accepted { phone },
            Sent::Refused => Outcome::Not(State::Failed),
            Sent::Unknown => Outcome::Again,
        }
    }

    fn text(&self, taken: &Taken, resolved: &Resolved) -> String {
        use secrecy::ExposeSecret as _;
        let token = link::token(self.link_key.expose_secret().as_bytes(), taken.id);
        let link = format!("{}/a/{token}", self.link_base);
        texts::sms(taken.kind, taken.text, taken.target, &resolved.matter, &link)
    }
}

/// Records what became of these attempts. What cannot be recorded is tried again after its lease, by asking the gateway first.
pub async fn record(session: &mut Session, attempts: &[Attempted]) {
    together(session, attempts, |attempt| attempt.taken.id, |tx, some| Box::pin(record_all(tx, some))).await;
}

async fn record_all(tx: &mut PgConnection, attempts: &[Attempted]) -> Result<(), Error> {
    let mut taken_over = Vec::new();
    for Attempted { taken, outcome, .. } in attempts {
        match outcome {
            Outcome::Accepted { phone } => taken_over.push((taken.id, masked(phone))),
            Outcome::Not(state) => {
                let changed = store::ended(tx, taken.id, taken.attempts, *state).await?;
                if changed && matches!(state, State::NoContact | State::Failed) {
                    super::receipts::not_reached(tx, taken.id, *state).await?;
                }
            }
            Outcome::Again => store::again(tx, taken.id, taken.attempts, backoff(taken.attempts)).await?,
        }
    }
    // Two attempts at one message may end together: it was accepted once.
    let mut accepted: HashMap<_, _> = store::accepted(tx, &taken_over).await?.into_iter().collect();
    let new = attempts.iter().filter_map(|attempt| Some(attempt.accepted(accepted.remove(&attempt.taken.id)?)));
    Ok(outbox::announce(tx, new.collect()).await?)
}

impl Taken {
    /// By Postgres's clock when it was taken up, and the time since then.
    fn may_leave(&self, resolved: &Resolved) -> bool {
        let now = self.taken_at + TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::MAX);
        let reminder = Leaving {
            due_at: self.due_at,
            check_after: self.check_after,
            stopped_at: resolved.stopped_at,
            overtaken: self.overtaken,
        };
        still_leaves(reminder, now)
    }
}

impl Attempted {
    fn accepted(&self, now: clock::Timestamp) -> Announcement {
        let Taken { id, whistle, assignment, rung, target, due_at, .. } = self.taken;
        telemetry::late("sms", now - due_at);
        let effect = Effect { id, whistle, assignment, rung, target };
        self.span.in_scope(|| announcements::accepted(effect, now))
    }
}
