//! The directory: units, contacts, deputy mayors.

use std::collections::BTreeMap;
use std::time::Instant;

use foundation::clock::{self, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Target, UnitId};
use crate::error::Error;

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

/// What the directory says of those on whom a whistle is blown.
#[derive(Debug)]
pub struct Called {
    /// The contact roles that each unit holds.
    pub roles: BTreeMap<UnitId, Vec<Target>>,
    /// Whether somebody is in charge of the matter.
    pub deputy_mayor: bool,
    /// What Postgres's clock said then.
    pub now: Timestamp,
}

/// A unit that is not in the directory is not in the answer; there is none when no unit is.
pub async fn called(tx: &mut PgConnection, units: &[UnitId], matter: &str) -> Result<Option<Called>, Error> {
    let (ids, before): (Vec<Uuid>, _) = (units.iter().map(|unit| unit.0).collect(), Instant::now());
    let rows = sqlx::query!(
        r#"select u.id as "id!", c.role as "role?", exists (select from deputy_mayor where matter = $2) as "deputy_mayor!",
                  clock_timestamp() as "now!"
           from unit u left join contact c on c.unit_id = u.id where u.id = any($1)"#,
        &ids,
        matter
    )
    .fetch_all(tx)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut called =
        Called { roles: BTreeMap::new(), deputy_mayor: first.deputy_mayor, now: clock::said(before, first.now)? };
    for row in rows {
        let roles = called.roles.entry(UnitId(row.id)).or_default();
        roles.extend(row.role.as_deref().map(Target::of).transpose().map_err(sqlx::Error::from)?);
    }
    Ok(Some(called))
}
