//! Residents, by key and by area.

use foundation::base::{Listing, Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ResidentId;
use crate::error::Error;

/// A resident as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// Area code.
    pub area: String,
    /// How the person wishes to be shown.
    pub display_name: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// One resident.
pub async fn get(tx: &mut PgConnection, scope: &Scope, id: ResidentId) -> Result<Row, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, area, display_name, created_at from resident where id = $1 and ($2 or starts_with(area, $3))",
        id.0,
        scope.all(),
        scope.area()
    );
    row.fetch_optional(tx).await?.ok_or_else(|| Error::not_found("resident", id))
}

/// Residents of an area, or all, newest first.
pub async fn list(tx: &mut PgConnection, scope: &Scope, area: &str, page: &Page<Uuid>) -> Result<Vec<Row>, Error> {
    match scope.listing(area) {
        Some(Listing::All) => Ok(all(tx, page).await?),
        Some(Listing::Area(area)) => Ok(of_area(tx, area, page).await?),
        Some(Listing::Unit(_) | Listing::Matters(_) | Listing::Own(_)) | None => Err(Error::not_found("area", area)),
    }
}

async fn all(tx: &mut PgConnection, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select id, area, display_name, created_at from resident where id < $1 order by id desc limit $2",
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}

/// Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
async fn of_area(tx: &mut PgConnection, area: &str, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select id, area, display_name, created_at from resident where area ~>=~ $1 and area ~<~ ($1 || '~') and id < $2
         order by id desc limit $3",
        area,
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}
