//! Firing what is due, many assignments in one transaction. Every replica does it; locks keep them apart.

use std::collections::BTreeMap;

use foundation::db::Db;
use foundation::{clock, outbox, telemetry};
use sqlx::PgConnection;
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

/// Fires the due rungs of up to `limit` assignments; returns how many it took.
pub async fn fire_due(db: &Db, limit: i64, except: &[Uuid]) -> Result<usize, Failed> {
    let mut taken = Vec::new();
    match db.in_time(batch(db, limit, except, &mut taken)).await {
        Ok(()) => Ok(taken.len()),
        Err(error) => Err(Failed { taken, error }),
    }
}

async fn batch(db: &Db, limit: i64, except: &[Uuid], taken: &mut Vec<Uuid>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    let due = store::due::take(&mut tx, limit, except).await?;
    taken.extend(due.iter().map(|due| due.id.0));
    if due.is_empty() {
        return Ok(tx.rollback().await?);
    }
    let mut by_policy: BTreeMap<i64, Vec<Due>> = BTreeMap::new();
    for one in due {
        by_policy.entry(one.policy).or_default().push(one);
    }
    for (version, due) in by_policy {
        let policy = pinned(&mut tx, version).await?;
        fire(&mut tx, &due, &policy).await?;
    }
    Ok(db.commit(tx).await?)
}

async fn fire(tx: &mut PgConnection, due: &[Due], policy: &Policy) -> Result<(), Error> {
    let ids: Vec<_> = due.iter().map(|due| due.id).collect();
    let mut ladders = store::ladders(tx, &ids).await?;
    let now = clock::now(tx).await?;
    let (mut fired, mut next) = (Vec::new(), Vec::new());
    for one in due {
        let Some(ladder) = ladders.get_mut(&one.id).and_then(|own| own.last_mut()) else { continue };
        fired.extend(ladder.fire(now, policy).into_iter().map(|rung| (one, rung)));
        next.push((one.id, ladder.next_due()));
    }
    for (_, one) in &fired {
        telemetry::late("rung", now - one.rung.due_at);
    }
    let rungs: Vec<_> = fired.iter().map(|(due, rung)| (due.id, rung)).collect();
    store::fire(tx, &rungs, policy).await?;
    store::due::set_next(tx, &next).await?;
    let facts = fired.iter().map(|(due, rung)| announcements::rung_fired(rung, due, policy));
    Ok(outbox::announce(tx, facts.collect()).await?)
}
