//! Firing what is due, many assignments in one transaction. Every replica does it; locks keep them apart.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use foundation::db::Session;
use foundation::{outbox, telemetry};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{announcements, pinned};
use crate::domain::policy::Policy;
use crate::error::Error;
use crate::store;
use crate::store::due::Due;

/// A batch that could not be fired, and what was in it.
#[derive(Debug, thiserror::Error)]
#[error("{} assignments could not be fired", taken.len())]
pub struct Failed {
    /// The assignments that had been taken.
    pub taken: Vec<Uuid>,
    /// Why.
    #[source]
    pub error: Error,
}

/// Fires what is due, on a connection of its own, with the policies that it has met: they never change.
#[derive(Debug)]
pub struct Firing {
    /// The connection.
    pub session: Session,
    policies: BTreeMap<i64, Policy>,
}

impl Firing {
    /// Nothing is known yet.
    pub fn new(session: Session) -> Firing {
        Firing { session, policies: BTreeMap::new() }
    }

    /// Fires the due rungs of up to `limit` assignments; returns how many it took.
    pub async fn fire_due(&mut self, limit: i64, except: &[Uuid]) -> Result<usize, Failed> {
        let (mut taken, db) = (Vec::new(), self.session.db.clone());
        match db.in_time(self.batch(limit, except, &mut taken)).await {
            Ok(()) => Ok(taken.len()),
            Err(error) => Err(Failed { taken, error }),
        }
    }

    async fn batch(&mut self, limit: i64, except: &[Uuid], taken: &mut Vec<Uuid>) -> Result<(), Error> {
        let mut connection = self.session.take().await?;
        let mut tx = connection.begin().await?;
        let due = store::due::take(&mut tx, limit, except).await?;
        taken.extend(due.iter().map(|due| due.id.0));
        let mut by_policy: BTreeMap<i64, Vec<Due>> = BTreeMap::new();
        for one in due {
            by_policy.entry(one.policy).or_default().push(one);
        }
        for (version, due) in by_policy {
            let policy = match self.policies.entry(version) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(pinned(&mut tx, version).await?),
            };
            fire(&mut tx, &due, policy).await?;
        }
        tx.commit().await?;
        self.session.keep(connection);
        if !taken.is_empty() {
            self.session.db.committed();
        }
        Ok(())
    }
}

async fn fire(tx: &mut PgConnection, due: &[Due], policy: &Policy) -> Result<(), Error> {
    let ids: Vec<_> = due.iter().map(|due| due.id).collect();
    let (mut ladders, now) = store::ladders_now(tx, &ids).await?;
    let (mut fired, mut next) = (Vec::new(), Vec::new());
    for one in due {
        let Some(ladder) = ladders.get_mut(&one.id).and_then(|own| own.last_mut()) else {
            tracing::error!(assignment = %one.id, "has no ladder; it is due no more");
            next.push((one.id, None));
            continue;
        };
        fired.extend(ladder.fire(now, policy).into_iter().map(|rung| (one, rung)));
        next.push((one.id, ladder.next_due()));
    }
    for (_, one) in &fired {
        telemetry::late("rung", now - one.rung.due_at);
    }
    let rungs: Vec<_> = fired.iter().map(|(due, rung)| (due.id, rung)).collect();
    store::fire(tx, &rungs, &next, policy).await?;
    let facts = fired.iter().map(|(due, rung)| announcements::rung_fired(rung, due, policy));
    Ok(outbox::announce(tx, facts.collect()).await?)
}
