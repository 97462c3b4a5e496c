//! The directory: units, contacts, deputy mayors; and what of it a whistle is blown with.

use std::collections::BTreeMap;
use std::time::Instant;

use foundation::base::Timestamp;
use foundation::data::clock;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{column, policy};
use crate::domain::directory::{Changed, Command};
use crate::domain::policy::{Policy, Step};
use crate::domain::{Target, UnitId};

/// What must be known before a whistle is blown.
#[derive(Debug)]
pub struct Known {
    /// The policy that it keeps.
    pub policy: Policy,
    /// The contact roles that each unit holds; a unit that is not in the directory is not here.
    pub roles: BTreeMap<Uuid, Vec<Target>>,
    /// Whether somebody is in charge of the matter.
    pub deputy_mayor: bool,
    /// What Postgres's clock showed then.
    pub now: Timestamp,
}

/// None when there is no such policy; 0 is the newest that is no drill, as everywhere.
pub async fn known(tx: &mut PgConnection, units: &[UnitId], matter: &str, policy: i64) -> sqlx::Result<Option<Known>> {
    let (ids, before) = (column(units, |unit| unit.0), Instant::now());
    let row = sqlx::query!(
        r#"select version, drill, reminder_check_after_ms, platform_fault_after_ms,
                  answer as "answer: Json<Vec<Step>>", handling as "handling: Json<Vec<Step>>",
                  array(select json_build_array(u.id, array(select role from contact c where c.unit_id = u.id))
                        from unit u where u.id = any($1)) as "roles!: Vec<Json<(Uuid, Vec<Target>)>>",
                  exists (select from deputy_mayor where matter = $2) as "deputy_mayor!", clock_timestamp() as "now!"
           from policy where version = $3 or ($3 = 0 and not drill) order by version desc limit 1"#,
        &ids,
        matter,
        policy
    );
    let Some(row) = row.fetch_optional(tx).await? else { return Ok(None) };
    let policy = Policy::from(policy::Row {
        version: row.version,
        drill: row.drill,
        reminder_check_after_ms: row.reminder_check_after_ms,
        platform_fault_after_ms: row.platform_fault_after_ms,
        answer: row.answer,
        handling: row.handling,
    });
    let roles = row.roles.into_iter().map(|Json(unit)| unit).collect();
    Ok(Some(Known { policy, roles, deputy_mayor: row.deputy_mayor, now: clock::believe(before, row.now)? }))
}

/// The version of the entry that a command is about, locked; 0 when there is none yet. A lock of its own: where there is no row yet, there
/// is none to lock.
pub async fn load(tx: &mut PgConnection, command: &Command) -> sqlx::Result<i64> {
    let entry = match command {
        Command::PutUnit { id, .. } => id.to_string(),
        Command::PutDeputyMayor { matter, .. } => matter.clone(),
    };
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", entry).execute(&mut *tx).await?;
    let version = match command {
        Command::PutUnit { id, .. } => {
            sqlx::query_scalar!("select version from unit where id = $1", id.0).fetch_optional(tx).await?
        }
        Command::PutDeputyMayor { matter, .. } => {
            sqlx::query_scalar!("select version from deputy_mayor where matter = $1", matter).fetch_optional(tx).await?
        }
    };
    Ok(version.unwrap_or(0))
}

/// Writes what an entry has become.
pub async fn save(tx: &mut PgConnection, changed: &Changed) -> sqlx::Result<()> {
    match &changed.command {
        Command::PutUnit { id, name, contacts, .. } => {
            sqlx::query!(
                "insert into unit (id, name, version) values ($1, $2, $3)
                 on conflict (id) do update set name = excluded.name, version = excluded.version,
                     updated_at = clock_timestamp()",
                id.0,
                name,
                changed.version
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query!("delete from contact where unit_id = $1", id.0).execute(&mut *tx).await?;
            sqlx::query!(
                "insert into contact (unit_id, role, name, phone)
                 select $1, role, name, phone from unnest($2::text[], $3::text[], $4::text[]) as one (role, name, phone)",
                id.0,
                &column(contacts, |contact| contact.role.word()) as &[&str],
                &column(contacts, |contact| contact.name.as_str()) as &[&str],
                &column(contacts, |contact| contact.phone.as_str()) as &[&str]
            )
            .execute(tx)
            .await?;
        }
        Command::PutDeputyMayor { matter, name, phone, .. } => {
            sqlx::query!(
                "insert into deputy_mayor (matter, name, phone, version) values ($1, $2, $3, $4)
                 on conflict (matter) do update set name = excluded.name, phone = excluded.phone, version = excluded.version",
                matter,
                name,
                phone,
                changed.version
            )
            .execute(tx)
            .await?;
        }
    }
    Ok(())
}
