//! The one way photos change: one more. A row that is inserted once is its own history.

use foundation::BoxFuture;
use foundation::base::Context;
use sqlx::PgConnection;

use crate::domain::photo::Kept;
use crate::error::Error;
use crate::store;

/// Records a photo that was kept.
pub fn run<'t>(tx: &'t mut PgConnection, context: &'t Context, kept: Kept) -> BoxFuture<'t, Result<Kept, Error>> {
    Box::pin(async move {
        store::photo::add(tx, &context.actor().subject, &kept).await?;
        Ok(kept)
    })
}
