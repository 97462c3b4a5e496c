//! Load, decide, save, announce: one transaction per command, which the caller of these functions commits.

use foundation::auth::{Belongs, Caller};
use foundation::outbox;
use proto::residents::v1 as wire;
use sqlx::PgConnection;

use crate::domain::Resident;
use crate::error::Error;
use crate::{announcements, store, views};

/// Registers a resident in the caller's area.
pub async fn register(tx: &mut PgConnection, caller: &Caller, resident: &Resident) -> Result<wire::Resident, Error> {
    if !caller.may(Belongs { area: Some(&resident.area), ..Belongs::default() }) {
        return Err(Error::NotFound(format!("area {}", resident.area)));
    }
    store::add(tx, resident).await?;
    outbox::announce(tx, vec![announcements::registered(resident)]).await?;
    views::resident(tx, resident.id).await
}
