//! Keeping the directory and the policies.

use proto::dispatch::v1 as wire;
use sqlx::PgConnection;

use crate::domain::policy::Policy;
use crate::error::Error;
use crate::store;
use crate::store::directory::Unit;
use crate::views;

/// Creates or replaces a unit.
pub async fn put_unit(tx: &mut PgConnection, unit: &Unit) -> Result<wire::Unit, Error> {
    store::directory::put_unit(tx, unit).await?;
    views::directory::unit(tx, unit.id).await
}

/// Names the deputy district mayor in charge of a matter.
pub async fn put_deputy_mayor(
    tx: &mut PgConnection,
    matter: &str,
    name: &str,
    phone: &str,
) -> Result<wire::DeputyMayor, Error> {
    store::directory::put_deputy_mayor(tx, matter, name, phone).await?;
    let phone = crate::domain::directory::masked(phone);
    Ok(wire::DeputyMayor { matter: matter.into(), name: name.into(), phone })
}

/// Adds a policy version.
pub async fn create_policy(tx: &mut PgConnection, policy: &Policy) -> Result<wire::Policy, Error> {
    let version = store::policy::add(tx, policy).await?;
    views::directory::policy(tx, version).await
}
