//! SQL that only reads, for whoever asks.

use foundation::clock::to_wire;
use proto::residents::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Error;

/// One resident.
pub async fn resident(tx: &mut PgConnection, id: Uuid) -> Result<wire::Resident, Error> {
    let row = sqlx::query!("select id, area, display_name, created_at from resident where id = $1", id);
    let row = row.fetch_optional(tx).await?.ok_or_else(|| Error::NotFound(format!("resident {id}")))?;
    Ok(wire::Resident {
        resident_id: row.id.to_string(),
        area: row.area,
        display_name: row.display_name,
        create_time: Some(to_wire(row.created_at)),
    })
}

/// Residents of an area, newest first, each with its place in the list.
pub async fn residents(
    tx: &mut PgConnection,
    area: &str,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, wire::Resident)>> {
    // Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
    let rows = sqlx::query!(
        "select id, area, display_name, created_at from resident where area ~>=~ $1 and area ~<~ ($1 || '~') and id < $2
         order by id desc limit $3",
        area,
        before,
        limit
    );
    let residents = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let resident = wire::Resident {
            resident_id: row.id.to_string(),
            area: row.area,
            display_name: row.display_name,
            create_time: Some(to_wire(row.created_at)),
        };
        (row.id, resident)
    });
    Ok(residents.collect())
}
