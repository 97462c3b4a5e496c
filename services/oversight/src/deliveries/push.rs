//! Pushing cases: until a receipt comes back. That a case may have left is on record before its timeline is read, so an annulment is on
//! that timeline, or makes a correction.

use foundation::base::{Chain, Context, Timestamp};
use foundation::data::Db;
use foundation::log::publish;
use foundation::out::{Ended, Enqueued, Found, Lease, Leased, Leave, Outcome, Sent, Way};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::dispatch::{Dispatch, Matter};
use crate::domain::case::{Case, Meanwhile, Refusal};
use crate::domain::{CaseState, texts};
use crate::error::Error;
use crate::platform::{Document, Line, Platform};
use crate::{announcements, store, views};

/// The way.
#[derive(Debug, Clone)]
pub struct Push {
    /// The database.
    pub db: Db,
    /// Knows what a case is about.
    pub dispatch: Dispatch,
    /// Takes it over.
    pub platform: Platform,
}

/// Whom everything here is for.
pub(super) const TARGET: &str = "oversight_platform";

/// A case's delivery.
pub fn queued<'c>(case: &Case, traceparent: Option<&'c str>) -> Enqueued<'c> {
    Enqueued {
        id: case.id,
        way: Push::NAME,
        subject: case.assignment,
        target: TARGET,
        due_at: case.due_at,
        after: None,
        drill: case.state == CaseState::Drill,
        traceparent,
    }
}

impl Push {
    async fn document(&self, case: &Case, matter: &Matter) -> Result<Document, Error> {
        let mut connection = self.db.work().acquire().await?;
        let lines = views::timeline::of(&mut connection, &[case.whistle], &[case.assignment]).await?;
        let lines = lines.iter().filter(|line| line.concerns(case.whistle, case.assignment));
        Ok(Document {
            id: case.id,
            kind: "case",
            corrects: None,
            unit: matter.unit.clone(),
            title: matter.title.clone(),
            place: matter.place.clone(),
            timeline: lines
                .map(|line| Line { time: line.at.to_rfc3339(), text: texts::happening(line.happening) })
                .collect(),
            text: String::new(),
        })
    }
}

impl Way for Push {
    const NAME: &'static str = "push";
    const AT_ONCE: usize = 16;
    const MARKED: bool = true;

    type Item = Case;
    type Ready = Matter;
    type Refusal = Refusal;

    async fn load(&self, tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Case)>, Error> {
        Ok(store::case::by_ids(tx, ids).await?.into_iter().map(|case| (case.id, case)).collect())
    }

    async fn prepare(&self, _: &Leased, case: &Case) -> Result<Option<Matter>, Error> {
        self.dispatch.matter(case.assignment, case.ladder).await.map(Some)
    }

    fn may_leave(&self, delivery: &Leased, case: &Case, _: &Matter, now: Timestamp) -> Leave {
        let meanwhile = Meanwhile { offered: delivery.offered, released: delivery.released };
        if case.leaves(meanwhile, now) { Leave::Yes } else { Leave::Held }
    }

    async fn find(&self, id: Uuid, _: Option<&Matter>) -> Found {
        self.platform.find(id).await
    }

    async fn send(&self, _: &Leased, case: &Case, matter: &Matter, lease: Lease) -> Sent {
        match self.db.in_time(self.document(case, matter)).await {
            Ok(document) => self.platform.push(&document, lease).await,
            Err(error) => {
                tracing::warn!(effect = %case.id, error = %Chain(&error), "a case cannot be composed now");
                Sent::NotOffered
            }
        }
    }

    async fn ended(&self, tx: &mut PgConnection, context: &Context, ended: &[Ended<'_, Push>]) -> Result<(), Error> {
        let (mut pushed, mut announced) = (Vec::new(), Vec::new());
        for one in ended {
            match one.outcome {
                Outcome::Accepted(at) => {
                    let case = one.item.pushed();
                    announced.push(one.span.in_scope(|| announcements::pushed(context, &case, at)));
                    pushed.push(case);
                }
                Outcome::Held => tracing::warn!(
                    effect = %one.item.id,
                    "the platform itself was late: the case waits for the centre's release"
                ),
                Outcome::Failed | Outcome::Unknown | Outcome::Superseded | Outcome::NoContact => {}
            }
        }
        store::case::save(tx, &pushed).await?;
        Ok(publish(tx, announced).await?)
    }
}
