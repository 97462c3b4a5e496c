//! The directory: units, contacts, deputy mayors.

use std::collections::BTreeMap;
use std::time::Instant;

use foundation::clock::{self, Timestamp};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::policy;
use crate::domain::policy::Policy;
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

/// What a whistle is blown with.
#[derive(Debug)]
pub struct Called {
    /// The policy that it keeps.
    pub policy: Policy,
    /// The contact roles that each unit holds; a unit that is not in the directory is not here.
    pub roles: BTreeMap<Uuid, Vec<Target>>,
    /// Whether somebody is in charge of the matter.
    pub deputy_mayor: bool,
    /// What Postgres's clock said then.
    pub now: Timestamp,
}

/// None when there is no such policy; 0 is the newest that is no drill.
pub async fn called(
    tx: &mut PgConnection,
    units: &[UnitId],
    matter: &str,
    policy: i64,
) -> Result<Option<Called>, Error> {
    let (ids, before): (Vec<Uuid>, _) = (units.iter().map(|unit| unit.0).collect(), Instant::now());
    let row = sqlx::query!(
        r#"select version, drill, reminder_check_after_ms, platform_fault_after_ms, answer, handling,
                  array(select json_build_array(u.id, array(select role from contact c where c.unit_id = u.id))
                        from unit u where u.id = any($1)) as "roles!: Vec<Json<(Uuid, Vec<Target>)>>",
                  exists (select from deputy_mayor where matter = $2) as "deputy_mayor!", clock_timestamp() as "now!"
           from policy where version = $3 or ($3 = 0 and not drill) order by version desc limit 1"#,
        &ids,
        matter,
        policy
    );
    let Some(row) = row.fetch_optional(tx).await? else { return Ok(None) };
    let policy = policy::read(policy::Row {
        version: row.version,
        drill: row.drill,
        reminder_check_after_ms: row.reminder_check_after_ms,
        platform_fault_after_ms: row.platform_fault_after_ms,
        answer: row.answer,
        handling: row.handling,
    })?;
    let roles = row.roles.into_iter().map(|Json(unit)| unit).collect();
    Ok(Some(Called { policy, roles, deputy_mayor: row.deputy_mayor, now: clock::said(before, row.now)? }))
}
