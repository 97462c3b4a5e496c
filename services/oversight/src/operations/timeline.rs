//! What has happened is written down, and what follows from it begins: cases, and corrections of those that have left.

use sqlx::PgConnection;

use super::case::{self, Opened};
use super::correction;
use crate::domain::correction::Annulled;
use crate::domain::timeline::Line;
use crate::error::Error;
use crate::store;

/// Writes lines, each once, opens cases, and corrects them. Whoever opens or corrects cases of the same assignments waits for the other: an
/// annulment finds the case, or is on the timeline before there is one.
pub async fn run_many(
    tx: &mut PgConnection,
    lines: &[Line],
    opened: &[Opened],
    annulled: &[Annulled],
) -> Result<(), Error> {
    let opening = opened.iter().map(|(case, _)| case.assignment);
    store::in_turn(tx, opening.chain(annulled.iter().map(|one| one.assignment)).collect()).await?;
    store::timeline::add(tx, lines).await?;
    case::open_many(tx, opened).await?;
    correction::run_many(tx, annulled).await
}
