//! A card was annulled: a case that went out, or may have, gets a correction.

use foundation::data::clock;
use foundation::out::enqueue;
use sqlx::PgConnection;

use crate::domain::correction::Annulled;
use crate::error::Error;
use crate::{deliveries, store};

/// Corrects what has left; what has not is composed of a timeline that has the annulment.
pub async fn run_many(tx: &mut PgConnection, annulled: &[Annulled]) -> Result<(), Error> {
    if annulled.is_empty() {
        return Ok(());
    }
    let assignments: Vec<_> = annulled.iter().map(|one| one.assignment).collect();
    let left = store::case::left(tx, &assignments).await?;
    let corrections = annulled.iter().flat_map(|one| {
        let cases = left.iter().filter(|case| case.assignment == one.assignment);
        cases.map(|case| (one.correction(case.id, case.ladder), one.traceparent.as_deref()))
    });
    let corrections: Vec<_> = corrections.collect();
    store::correction::add(tx, &corrections.iter().map(|(correction, _)| *correction).collect::<Vec<_>>()).await?;
    let now = clock::now(&mut *tx).await?;
    let queued = corrections.iter().map(|(one, traceparent)| deliveries::correction::queued(one, now, *traceparent));
    Ok(enqueue(tx, &queued.collect::<Vec<_>>()).await?)
}
