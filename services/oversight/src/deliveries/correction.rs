//! Corrections: each after its case, until a receipt comes back.

use foundation::base::{Context, Timestamp};
use foundation::out::{Ended, Enqueued, Found, Lease, Leased, Leave, Sent, Way};
use sqlx::PgConnection;
use uuid::Uuid;

use super::push::TARGET;
use crate::dispatch::Dispatch;
use crate::domain::case::Refusal;
use crate::domain::correction::Correction;
use crate::domain::texts;
use crate::error::Error;
use crate::platform::{Document, Platform};
use crate::store;

/// The way.
#[derive(Debug, Clone)]
pub struct Corrections {
    /// Refuses as long as it is held itself.
    pub dispatch: Dispatch,
    /// Takes them over.
    pub platform: Platform,
}

/// A correction's delivery.
pub fn queued<'c>(correction: &Correction, at: Timestamp, traceparent: Option<&'c str>) -> Enqueued<'c> {
    Enqueued {
        id: correction.id,
        way: Corrections::NAME,
        subject: correction.assignment,
        target: TARGET,
        due_at: at,
        after: Some(correction.case),
        drill: false,
        traceparent,
    }
}

impl Way for Corrections {
    const NAME: &'static str = "correction";
    const AT_ONCE: usize = 4;

    type Item = Correction;
    type Ready = ();
    type Refusal = Refusal;

    async fn load(&self, tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Correction)>, Error> {
        Ok(store::correction::by_ids(tx, ids).await?.into_iter().map(|one| (one.id, one)).collect())
    }

    async fn prepare(&self, _: &Leased, correction: &Correction) -> Result<Option<()>, Error> {
        self.dispatch.matter(correction.assignment, correction.ladder).await.map(|_| Some(()))
    }

    fn may_leave(&self, _: &Leased, _: &Correction, (): &(), _: Timestamp) -> Leave {
        Leave::Yes
    }

    async fn find(&self, id: Uuid, _: Option<&()>) -> Found {
        self.platform.find(id).await
    }

    async fn send(&self, _: &Leased, correction: &Correction, (): &(), lease: Lease) -> Sent {
        let document = Document {
            id: correction.id,
            kind: "correction",
            corrects: Some(correction.case),
            unit: String::new(),
            title: String::new(),
            place: String::new(),
            timeline: Vec::new(),
            text: texts::correction(correction.card),
        };
        self.platform.push(&document, lease).await
    }

    async fn ended(&self, _: &mut PgConnection, _: &Context, _: &[Ended<'_, Corrections>]) -> Result<(), Error> {
        Ok(())
    }
}
