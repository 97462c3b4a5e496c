//! What a service subscribes to, and the function for each event.
//!
//! A handler answers `Ok`, [`Failure::Retry`] (something is away, try again) or [`Failure::Park`] (this event can't be applied as things
//! are: a dead letter for a person to look at).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::Event;
use sqlx::PgConnection;

use super::envelope::{Envelope, Received};
use crate::BoxFuture;
use crate::base::Failure;

/// Between two batches at least: what arrives meanwhile is applied in one.
const IDLE: Duration = Duration::from_millis(2);

type Handler = Arc<dyn for<'c> Fn(&'c mut PgConnection, Envelope) -> BoxFuture<'c, Result<(), Failure>> + Send + Sync>;
type Gatherer = for<'c> fn(&'c mut PgConnection, Vec<Envelope>) -> BoxFuture<'c, Result<(), Failure>>;

/// What a service subscribes to.
#[derive(Clone)]
pub struct Routes {
    /// Name of the subscribing service, of its inbox and of its durable consumer.
    pub consumer: &'static str,
    pub(super) handlers: BTreeMap<&'static str, Handler>,
    pub(super) gatherer: Option<Gatherer>,
    /// Between two batches at least.
    pub(super) idle: Duration,
}

impl Routes {
    /// Nothing yet.
    pub fn new(consumer: &'static str) -> Routes {
        Routes { consumer, handlers: BTreeMap::new(), gatherer: None, idle: IDLE }
    }

    /// These subjects with one function, which gets all events of a batch: for a subscriber that writes down much and decides little. It works in the transaction of the inbox rows; it neither commits nor sleeps.
    pub fn gathering(consumer: &'static str, subjects: &[&'static str], gatherer: Gatherer) -> Routes {
        let each: Handler = Arc::new(move |tx, event| gatherer(tx, vec![event]));
        let handlers = subjects.iter().map(|subject| (*subject, each.clone())).collect();
        Routes { consumer, handlers, gatherer: Some(gatherer), idle: IDLE }
    }

    /// One more event. The handler works in the transaction of the inbox row; it neither commits nor sleeps.
    pub fn on<E, F>(mut self, handler: F) -> Routes
    where
        E: Event + 'static,
        F: for<'c> Fn(&'c mut PgConnection, Received<E>) -> BoxFuture<'c, Result<(), Failure>> + Send + Sync + 'static,
    {
        let decoding: Handler = Arc::new(move |tx, event| match event.open::<E>() {
            Ok(event) => handler(tx, event),
            Err(failure) => Box::pin(async move { Err(failure) }),
        });
        self.handlers.insert(E::SUBJECT, decoding);
        self
    }

    /// Nobody waits for what is written here: it is written less often, and more at once.
    pub fn unhurried(self) -> Routes {
        Routes { idle: 6 * IDLE, ..self }
    }

    /// Their subjects.
    pub fn subjects(&self) -> impl Iterator<Item = &'static str> {
        self.handlers.keys().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }
}
