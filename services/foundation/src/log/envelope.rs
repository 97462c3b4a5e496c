//! An event as it travels, and as a subscriber gets it.

use std::ops::Deref;

use bytes::Bytes;
use proto::Event;
use uuid::Uuid;

use crate::base::{Actor, Context, Failure, Timestamp};

/// An event with its CloudEvents attributes.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// CloudEvents id.
    pub id: Uuid,
    /// CloudEvents type and NATS subject.
    pub subject: String,
    /// What it is about.
    pub aggregate: String,
    /// The protobuf message.
    pub payload: Bytes,
    /// W3C trace context of the publishing transaction.
    pub traceparent: Option<String>,
    /// When it was published.
    pub occurred_at: Timestamp,
    /// Its position in the publishing service's log.
    pub position: i64,
}

/// An event that a subscriber handles. It gives the subscriber a context of its own: what follows from an event is done in the name of
/// who did what the event tells of.
#[derive(Debug, Clone)]
pub struct Received<E> {
    /// The event.
    pub event: E,
    /// Trace of its handling.
    pub traceparent: Option<String>,
    context: Context,
}

impl<E> Received<E> {
    /// In whose name to do what follows.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What it means to the subscriber, in its place.
    pub fn meaning<T>(self, meaning: T) -> Received<T> {
        Received { event: meaning, traceparent: self.traceparent, context: self.context }
    }
}

impl<E> Deref for Received<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

impl Envelope {
    /// What it says; one that cannot be read is parked.
    pub fn open<E: Event>(&self) -> Result<Received<E>, Failure> {
        let event = E::decode(self.payload.clone()).map_err(|error| Failure::Park(format!("undecodable: {error}")))?;
        let publisher = self.subject.split('.').nth(1).unwrap_or_default();
        let person = event.actor().map(|actor| Actor::new(&actor.subject, &actor.role));
        let context = Context::of_the_house(Actor::new(publisher, "service"), person);
        Ok(Received { event, traceparent: self.traceparent.clone(), context })
    }
}
