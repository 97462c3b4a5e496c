//! What dispatch subscribes to: how residents grade.

use foundation::BoxFuture;
use foundation::base::Failure;
use foundation::log::{Received, Routes};
use proto::events::v1::GrievanceGraded;
use sqlx::PgConnection;

use crate::operations;
use crate::wire::event as wire;

/// One function an event.
pub fn routes() -> Routes {
    Routes::new("dispatch").on(graded)
}

fn graded(tx: &mut PgConnection, event: Received<GrievanceGraded>) -> BoxFuture<'_, Result<(), Failure>> {
    Box::pin(async move {
        match wire::grade(&event)? {
            Some(command) => Ok(operations::whistle::run(tx, event.context(), command).await.map(drop)?),
            None => Ok(()),
        }
    })
}
