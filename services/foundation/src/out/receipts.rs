//! Receipts, which arrive up to 72 h after an acceptance; and what dead processes had taken up.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use sqlx::{Connection as _, PgConnection};
use tracing::Span;
use uuid::Uuid;

use super::sender::POLL;
use super::store;
use super::way::{Ended, Found, Outcome, Way};
use crate::base::{Chain, Context, Error, Stop};
use crate::data::{Db, Session, clock};

/// Questions to the outside under way at once.
const AT_ONCE: usize = 8;

/// Asks for receipts until told to stop.
pub async fn receipts<W: Way>(way: W, db: Db, context: Context, stop: Stop) -> anyhow::Result<()> {
    let mut session = db.session();
    while !stop.requested() {
        let asked = collect(&way, &db, &context, &mut session).await.unwrap_or_else(|error| {
            tracing::warn!(way = W::NAME, error = %Chain(&error), "receipts cannot be collected now");
            0
        });
        stop.pause(if asked > 0 { Duration::from_millis(100) } else { 4 * POLL }).await;
    }
    Ok(())
}

/// Asks for receipts that are due; returns how many it asked for.
async fn collect<W: Way>(
    way: &W,
    db: &Db,
    context: &Context,
    session: &mut Session,
) -> Result<usize, Error<W::Refusal>> {
    let awaited = db.in_time(store::awaited(db, W::NAME)).await?;
    let asked = stream::iter(awaited).map(async |id| (id, way.find(id, None).await));
    let found: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    if !found.is_empty() {
        db.in_time(in_transaction(way, context, session, &found)).await?;
    }
    Ok(found.len())
}

async fn in_transaction<W: Way>(
    way: &W,
    context: &Context,
    session: &mut Session,
    found: &[(Uuid, Found)],
) -> Result<(), Error<W::Refusal>> {
    let mut connection = session.take().await?;
    let mut tx = connection.begin().await?;
    record(way, context, &mut tx, found).await?;
    tx.commit().await?;
    session.keep(connection);
    session.db.committed();
    Ok(())
}

async fn record<W: Way>(
    way: &W,
    context: &Context,
    tx: &mut PgConnection,
    found: &[(Uuid, Found)],
) -> Result<(), Error<W::Refusal>> {
    // Not by a clock that has jumped: it would end the time in which receipts are asked for.
    clock::now(&mut *tx).await?;
    let (mut delivered, mut failed, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for (id, found) in found {
        match found {
            Found::Delivered => delivered.push(*id),
            Found::Failed => failed.push(*id),
            Found::Accepted(_) | Found::Absent | Found::Unknown => later.push(*id),
        }
    }
    let failed = store::received(&mut *tx, &delivered, &failed).await?;
    let unknown = store::ask_later(&mut *tx, &later).await?;
    follow(way, context, tx, &failed, &unknown).await
}

/// What the way makes of those that failed, and of those of which nothing is known.
async fn follow<W: Way>(
    way: &W,
    context: &Context,
    tx: &mut PgConnection,
    failed: &[Uuid],
    unknown: &[Uuid],
) -> Result<(), Error<W::Refusal>> {
    let ids: Vec<_> = failed.iter().chain(unknown).copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let items = way.load(&mut *tx, &ids).await?;
    let deliveries = store::by_ids(&mut *tx, &ids).await?;
    let span = Span::current();
    let ended = deliveries.iter().filter_map(|delivery| {
        let (_, item) = items.iter().find(|(id, _)| *id == delivery.id)?;
        let outcome = if failed.contains(&delivery.id) { Outcome::Failed } else { Outcome::Unknown };
        Some(Ended { delivery, item, ready: None, outcome, span: &span })
    });
    let ended: Vec<_> = ended.collect();
    way.ended(tx, context, &ended).await
}

/// Frees what dead processes took up, until told to stop.
pub async fn free_orphans(db: Db, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        match db.in_time(store::free_orphans(&db)).await {
            Ok(true) => db.wake_deliveries(),
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "leases of dead processes run their time"),
        }
        stop.pause(POLL).await;
    }
    Ok(())
}
