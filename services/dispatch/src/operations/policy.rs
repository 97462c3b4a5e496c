//! The one way policies change: one more.

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::policy::{Created, Policy};
use crate::error::Error;
use crate::store;

/// Adds a version. Nothing can be against it that parsing lets through; policies are the centre's as a whole.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    policy: Policy,
) -> BoxFuture<'t, Result<Created, Error>> {
    Box::pin(async move {
        if !context.scope.all() {
            return Err(Error::NotFound("policies of yours".into()));
        }
        let (version, at) = store::policy::add(tx, &policy).await?;
        let created = Created { policy: Policy { version, ..policy }, at };
        publish(tx, vec![announcements::policy_created(context, &created)]).await?;
        Ok(created)
    })
}
