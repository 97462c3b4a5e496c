//! The directory: units, contacts, deputy mayors.

use sqlx::PgConnection;

use crate::domain::{Target, UnitId};

/// Somebody who holds a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The role.
    pub role: Target,
    /// Who.
    pub name: String,
    /// How to reach them.
    pub phone: String,
}

/// A unit with its contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its id.
    pub id: UnitId,
    /// Shown to people.
    pub name: String,
    /// One a role.
    pub contacts: Vec<Contact>,
}

/// Creates or replaces a unit.
pub async fn put_unit(tx: &mut PgConnection, unit: &Unit) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into unit (id, name) values ($1, $2)
         on conflict (id) do update set name = excluded.name, updated_at = clock_timestamp()",
        unit.id.0,
        unit.name
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from contact where unit_id = $1", unit.id.0).execute(&mut *tx).await?;
    for contact in &unit.contacts {
        sqlx::query!(
            "insert into contact (unit_id, role, name, phone) values ($1, $2, $3, $4)",
            unit.id.0,
            contact.role.word(),
            contact.name,
            contact.phone
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Names the deputy district mayor in charge of a matter.
pub async fn put_deputy_mayor(tx: &mut PgConnection, matter: &str, name: &str, phone: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into deputy_mayor (matter, name, phone) values ($1, $2, $3)
         on conflict (matter) do update set name = excluded.name, phone = excluded.phone",
        matter,
        name,
        phone
    )
    .execute(tx)
    .await?;
    Ok(())
}
