//! What a whistle is blown with: the policy, and what the directory says of those on whom it is blown.

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

/// What must be known before.
#[derive(Debug)]
pub struct Known {
    /// The policy that it keeps.
    pub policy: Policy,
    /// The contact roles that each unit holds; a unit that is not in the directory is not here.
    pub roles: BTreeMap<Uuid, Vec<Target>>,
    /// Whether somebody is in charge of the matter.
    pub deputy_mayor: bool,
    /// What Postgres's clock said then.
    pub now: Timestamp,
}

/// None when there is no such policy; 0 is the newest that is no drill, as everywhere.
pub async fn known(tx: &mut PgConnection, units: &[UnitId], matter: &str, policy: i64) -> Result<Option<Known>, Error> {
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
    Ok(Some(Known { policy, roles, deputy_mayor: row.deputy_mayor, now: clock::said(before, row.now)? }))
}
