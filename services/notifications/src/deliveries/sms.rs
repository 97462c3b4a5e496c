//! Reminders by SMS. *Accepted* by the gateway and *delivered* to the phone are two states. One that is undeliverable goes to the
//! unit's deputy contact, and after that alarms the centre; so does one of which nothing is known for 72 h.

use foundation::base::{Context, Timestamp, text};
use foundation::log::publish;
use foundation::out::{Ended, Enqueued, Found, Lease, Leased, Leave, Outcome, Sent, Way, enqueue};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements;
use crate::dispatch::{Dispatch, Resolved};
use crate::domain::alarm::{Alarm, reason};
use crate::domain::call_task::Refusal;
use crate::domain::link::Links;
use crate::domain::message::{Meanwhile, Message};
use crate::domain::{MessageState, texts};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::store;
use crate::store::message::Loaded;

/// The way.
#[derive(Debug, Clone)]
pub struct Sms {
    /// Knows whom it is for.
    pub dispatch: Dispatch,
    /// Takes it over.
    pub gateway: Gateway,
    /// Makes the link in it.
    pub links: Links,
}

/// A reminder's delivery.
pub fn queued<'m>(message: &'m Message, traceparent: Option<&'m str>) -> Enqueued<'m> {
    Enqueued {
        id: message.id,
        way: Sms::NAME,
        subject: message.rung.assignment,
        target: message.target.word(),
        due_at: message.rung.due_at,
        after: None,
        drill: message.rung.drill,
        traceparent,
    }
}

/// A reminder with a phone that it goes to.
#[derive(Debug)]
pub struct Ready {
    resolved: Resolved,
    phone: String,
}

impl Way for Sms {
    const NAME: &'static str = "sms";
    const AT_ONCE: usize = 32;
    const RECEIPTS: bool = true;

    type Item = Loaded;
    type Ready = Ready;
    type Refusal = Refusal;

    async fn load(&self, tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Loaded)>, Error> {
        let loaded = store::message::load(tx, ids).await?;
        Ok(loaded.into_iter().map(|loaded| (loaded.message.id, loaded)).collect())
    }

    async fn prepare(&self, _: &Leased, item: &Loaded) -> Result<Option<Ready>, Error> {
        let resolved = self.dispatch.resolve(&item.message.rung, item.message.target).await?;
        let phone = resolved.contact.as_ref().map(|contact| contact.phone.clone());
        Ok(phone.map(|phone| Ready { resolved, phone }))
    }

    fn may_leave(&self, _: &Leased, item: &Loaded, ready: &Ready, now: Timestamp) -> Leave {
        let meanwhile = Meanwhile { stopped_at: ready.resolved.stopped_at, overtaken: item.overtaken };
        if item.message.still_leaves(meanwhile, now) { Leave::Yes } else { Leave::Superseded }
    }

    async fn find(&self, id: Uuid, ready: Option<&Ready>) -> Found {
        match (self.gateway.find(id).await, ready) {
            (Found::Accepted(_) | Found::Delivered, Some(ready)) => Found::Accepted(text::masked(&ready.phone)),
            (found, _) => found,
        }
    }

    async fn send(&self, delivery: &Leased, item: &Loaded, ready: &Ready, lease: Lease) -> Sent {
        let Loaded { message, .. } = item;
        let link = self.links.of(message.id);
        let content = texts::sms(message.rung.kind, message.text, message.target, &ready.resolved.matter, &link);
        self.gateway.send(delivery.id, &ready.phone, &content, lease).await
    }

    async fn ended(&self, tx: &mut PgConnection, context: &Context, ended: &[Ended<'_, Sms>]) -> Result<(), Error> {
        let (mut accepted, mut next, mut alarms) = (Vec::new(), Vec::new(), Vec::new());
        for one in ended {
            let message = &one.item.message;
            match one.outcome {
                Outcome::Accepted(at) => {
                    accepted.push(one.span.in_scope(|| announcements::accepted(context, message, at)));
                }
                Outcome::Failed => match message.fallback() {
                    Some(fallback) => next.push((fallback, one.delivery.traceparent.as_deref())),
                    None => alarms.extend(alarm(message, MessageState::Failed)),
                },
                Outcome::NoContact => alarms.extend(alarm(message, MessageState::NoContact)),
                Outcome::Unknown => alarms.extend(alarm(message, MessageState::Unknown)),
                Outcome::Superseded | Outcome::Held => {}
            }
        }
        let messages: Vec<_> = next.iter().map(|(message, _)| *message).collect();
        store::message::add(tx, &messages).await?;
        let deliveries: Vec<_> = next.iter().map(|(message, traceparent)| queued(message, *traceparent)).collect();
        enqueue(tx, &deliveries).await?;
        store::alarm::add(tx, &alarms).await?;
        Ok(publish(tx, accepted).await?)
    }
}

fn alarm(message: &Message, state: MessageState) -> Option<Alarm> {
    let (reason, assignment) = (reason(state)?, message.rung.assignment);
    tracing::warn!(effect = %message.id, reason = reason.word(), "alarm for the governance centre");
    Some(Alarm::about(message.id, reason, assignment, texts::alarm(reason, "被吹哨单位", message.target)))
}
