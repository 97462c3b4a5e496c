//! What has happened is written down.

use sqlx::PgConnection;

use crate::domain::timeline::Line;
use crate::error::Error;
use crate::store;

/// Writes lines, each once.
pub async fn run_many(tx: &mut PgConnection, lines: &[Line]) -> Result<(), Error> {
    store::timeline::add(tx, lines).await
}
