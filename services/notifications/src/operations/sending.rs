//! Sending reminders. A message is taken up under a lease (commit), handed to the gateway under its own id, and recorded as
//! accepted (commit). Whoever takes it up again, after a crash or a time-out, first asks the gateway whether it has it: at
//! least once with a constant id, and once where the gateway's answers are unambiguous.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use foundation::{clock, outbox, telemetry};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Operations, Resolved};
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
    /// Before it was taken up: the lease is never shorter than this process believes.
    pub(crate) since: Instant,
}

/// What became of an attempt.
enum Attempt {
    Accepted { phone: String },
    Not(State),
    Again,
}

impl Operations {
    /// Sends one message, or learns that it must not leave, or leaves it for a later attempt.
    pub async fn send(&self, taken: Taken) {
        let span = tracing::info_span!("send sms", otel.kind = "client", effect = %taken.id, rung = taken.rung);
        telemetry::continue_trace(&span, taken.traceparent.as_deref());
        let done = async {
            let attempt = self.attempt(&taken).await;
            self.db.in_time(self.record(&taken, attempt)).await
        };
        if let Err(error) = done.instrument(span).await {
            tracing::warn!(effect = %taken.id, error = %foundation::db::Chain(&error), "a reminder is tried again after its lease");
        }
    }

    async fn attempt(&self, taken: &Taken) -> Attempt {
        let resolved = match self.resolve(taken.assignment, taken.ladder, taken.target).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::warn!(effect = %taken.id, error = %foundation::db::Chain(&error), "the directory cannot be asked");
                return Attempt::Again;
            }
        };
        let Some(phone) = resolved.contact.as_ref().map(|contact| contact.phone.clone()) else {
            return Attempt::Not(State::NoContact);
        };
        if taken.doubtful {
            match self.gateway.find(taken.id).await {
                Found::Accepted | Found::Delivered => return Attempt::Accepted { phone },
                Found::Failed => return Attempt::Not(State::Failed),
                Found::Unknown => return Attempt::Again,
                Found::Absent => {}
            }
        }
        match self.db.in_time(self.may_leave(taken, &resolved)).await {
            Ok(true) => {}
            Ok(false) => return Attempt::Not(State::Superseded),
            Err(_) => return Attempt::Again,
        }
        // A process that slept through its lease must not act on it.
        if taken.since.elapsed() > LEASE / 2 {
            return Attempt::Again;
        }
        let text = self.text(taken, &resolved);
        match self.gateway.send(taken.id, &phone, &text).await {
            Sent::Accepted => Attempt::Accepted { phone },
            Sent::Refused => Attempt::Not(State::Failed),
            Sent::Unknown => Attempt::Again,
        }
    }

    async fn may_leave(&self, taken: &Taken, resolved: &Resolved) -> sqlx::Result<bool> {
        let now = clock::now(&mut *self.db.work.acquire().await?).await?;
        let reminder = Leaving {
            due_at: taken.due_at,
            check_after: taken.check_after,
            stopped_at: resolved.stopped_at,
            overtaken: taken.overtaken,
        };
        Ok(still_leaves(reminder, now))
    }

    fn text(&self, taken: &Taken, resolved: &Resolved) -> String {
        use secrecy::ExposeSecret as _;
        let token = link::token(self.link_key.expose_secret().as_bytes(), taken.id);
        let link = format!("{}/a/{token}", self.link_base);
        texts::sms(taken.kind, taken.text, taken.target, &resolved.matter, &link)
    }

    async fn record(&self, taken: &Taken, attempt: Attempt) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        match attempt {
            Attempt::Accepted { phone } => {
                let now = clock::now(&mut tx).await?;
                if store::accepted(&mut tx, taken.id, &masked(&phone), now).await? {
                    telemetry::late("sms", now - taken.due_at);
                    let effect = Effect {
                        id: taken.id,
                        whistle: taken.whistle,
                        assignment: taken.assignment,
                        rung: taken.rung,
                        target: taken.target,
                    };
                    outbox::announce(&mut tx, vec![announcements::accepted(effect, now)]).await?;
                }
            }
            Attempt::Not(state) => {
                let changed = store::ended(&mut tx, taken.id, taken.attempts, state).await?;
                if changed && matches!(state, State::NoContact | State::Failed) {
                    super::receipts::not_reached(&mut tx, taken.id, state).await?;
                }
            }
            Attempt::Again => store::again(&mut tx, taken.id, taken.attempts, backoff(taken.attempts)).await?,
        }
        Ok(self.db.commit(tx).await?)
    }
}
