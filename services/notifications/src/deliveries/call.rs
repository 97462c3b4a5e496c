//! Calls that the desk must make: delivered when the desk can see whom to call and what to say.

use foundation::base::{Context, Timestamp};
use foundation::out::{Ended, Enqueued, Found, Lease, Leased, Leave, Outcome, Sent, Way};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::dispatch::{Dispatch, Resolved};
use crate::domain::alarm::Alarm;
use crate::domain::call_task::{Asked, Refusal};
use crate::domain::{AlarmReason, texts};
use crate::error::Error;
use crate::store;
use crate::store::call_task::Opened;

/// The way.
#[derive(Debug, Clone)]
pub struct Call {
    /// Knows who is called.
    pub dispatch: Dispatch,
}

/// A call's delivery.
pub fn queued<'a>(asked: &'a Asked, traceparent: Option<&'a str>) -> Enqueued<'a> {
    Enqueued {
        id: asked.id,
        way: Call::NAME,
        subject: asked.rung.assignment,
        target: asked.callee.word(),
        due_at: asked.rung.due_at,
        after: None,
        drill: asked.rung.drill,
        traceparent,
    }
}

impl Way for Call {
    const NAME: &'static str = "call";
    const AT_ONCE: usize = 32;

    type Item = Asked;
    type Ready = Resolved;
    type Refusal = Refusal;

    async fn load(&self, tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Asked)>, Error> {
        let asked = store::call_task::asked(tx, ids).await?;
        Ok(asked.into_iter().map(|asked| (asked.id, asked)).collect())
    }

    /// Where nobody holds the role, the desk still sees that somebody should be called.
    async fn prepare(&self, _: &Leased, item: &Asked) -> Result<Option<Resolved>, Error> {
        self.dispatch.resolve(&item.rung, item.callee).await.map(Some)
    }

    fn may_leave(&self, _: &Leased, _: &Asked, _: &Resolved, _: Timestamp) -> Leave {
        Leave::Yes
    }

    async fn find(&self, _: Uuid, _: Option<&Resolved>) -> Found {
        Found::Absent
    }

    /// The desk is this service's own: what `ended` writes is seen there.
    async fn send(&self, _: &Leased, _: &Asked, _: &Resolved, _: Lease) -> Sent {
        Sent::Accepted(String::new())
    }

    async fn ended(&self, tx: &mut PgConnection, _: &Context, ended: &[Ended<'_, Call>]) -> Result<(), Error> {
        let (mut opened, mut alarms) = (Vec::new(), Vec::new());
        for one in ended {
            let (Outcome::Accepted(at), Some(resolved)) = (&one.outcome, one.ready) else { continue };
            let task = open(one.item, resolved, *at);
            if task.callee_phone.is_empty() {
                let text = texts::alarm(AlarmReason::NoContact, &resolved.matter.unit, one.item.callee);
                alarms.push(Alarm::about(task.id, AlarmReason::NoContact, one.item.rung.assignment, text));
            }
            opened.push(task);
        }
        store::call_task::open(tx, &opened).await?;
        Ok(store::alarm::add(tx, &alarms).await?)
    }
}

fn open(asked: &Asked, resolved: &Resolved, at: Timestamp) -> Opened {
    let contact = resolved.contact.clone().unwrap_or_default();
    let script = texts::script(asked.rung.kind, asked.card, asked.callee, &contact.name, &resolved.matter);
    Opened { id: asked.id, callee_name: contact.name, callee_phone: contact.phone, script, at }
}
