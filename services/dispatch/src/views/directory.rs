//! Units, gaps, policies, and whom an effect is for.

use foundation::clock::to_wire;
use proto::dispatch::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements as words;
use crate::domain::directory::{OF_UNIT, masked};
use crate::domain::policy::Step;
use crate::domain::{AssignmentId, LadderId, Target, UnitId};
use crate::error::Error;
use crate::store;

/// One unit, numbers masked.
pub async fn unit(tx: &mut PgConnection, id: UnitId) -> Result<wire::Unit, Error> {
    let units = units(tx, Some(id), Uuid::max(), 1).await?;
    units.into_iter().next().ok_or_else(|| Error::not_found("unit", id))
}

/// Units, newest first, numbers masked.
pub async fn units(
    tx: &mut PgConnection,
    only: Option<UnitId>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<wire::Unit>, Error> {
    let rows = sqlx::query!(
        "select id, name from unit where ($1::uuid is null or id = $1) and id < $2 order by id desc limit $3",
        only.map(|unit| unit.0),
        before,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let contacts =
        sqlx::query!("select unit_id, role, name, phone from contact where unit_id = any($1) order by role", &ids)
            .fetch_all(tx)
            .await?;
    let mut units = Vec::with_capacity(rows.len());
    for row in rows {
        let mut shown = Vec::new();
        for contact in contacts.iter().filter(|contact| contact.unit_id == row.id) {
            let role = words::target(Target::of(&contact.role).map_err(sqlx::Error::from)?).into();
            shown.push(wire::Contact { role, name: contact.name.clone(), phone: masked(&contact.phone) });
        }
        units.push(wire::Unit { unit_id: row.id.to_string(), name: row.name, contacts: shown });
    }
    Ok(units)
}

/// Units that lack a contact that ladders need, newest first.
pub async fn gaps(tx: &mut PgConnection, before: Uuid, limit: i64) -> Result<Vec<wire::UnitGap>, Error> {
    let needed: Vec<String> = OF_UNIT.iter().map(|role| role.word().to_owned()).collect();
    let rows = sqlx::query!(
        r#"select u.id, u.name, array_agg(needed.role) as "missing!"
           from unit u cross join unnest($1::text[]) as needed (role)
           where u.id < $2 and not exists (select from contact c where c.unit_id = u.id and c.role = needed.role)
           group by u.id order by u.id desc limit $3"#,
        &needed,
        before,
        limit
    )
    .fetch_all(tx)
    .await?;
    let gaps = rows.into_iter().map(|row| {
        let missing = row.missing.iter().map(|role| Target::of(role).map(|role| words::target(role).into()));
        let missing = missing.collect::<Result<_, _>>().map_err(sqlx::Error::from)?;
        Ok(wire::UnitGap { unit_id: row.id.to_string(), name: row.name, missing })
    });
    gaps.collect()
}

/// Whom an effect is for, in clear, and whether its ladder still runs. For other services only.
pub async fn resolve(
    tx: &mut PgConnection,
    assignment: AssignmentId,
    ladder: LadderId,
    target: Target,
) -> Result<wire::ResolveTargetResponse, Error> {
    let row = sqlx::query!(
        r#"select u.name as unit_name, w.title, w.place, w.blown_at, l.stopped_at,
                  case when l.kind = 'handling' then l.started_at else w.handle_by end as "handle_by!",
                  coalesce(c.name, m.name) as "name?", coalesce(c.phone, m.phone) as "phone?",
                  (select held_at is not null from log_head) as "held!"
           from assignment a
           join whistle w on w.id = a.whistle_id
           join unit u on u.id = a.unit_id
           join ladder l on l.id = $2 and l.assignment_id = a.id
           left join contact c on c.unit_id = a.unit_id and c.role = $3
           left join deputy_mayor m on m.matter = w.matter and $3 = 'deputy_mayor'
           where a.id = $1"#,
        assignment.0,
        ladder.0,
        target.word()
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| Error::not_found("ladder", ladder))?;
    if row.held {
        return Err(Error::Held);
    }
    let contact = row.name.zip(row.phone);
    Ok(wire::ResolveTargetResponse {
        unit_name: row.unit_name,
        title: row.title,
        place: row.place,
        blow_time: Some(to_wire(row.blown_at)),
        handle_by: Some(to_wire(row.handle_by)),
        stop_time: row.stopped_at.map(to_wire),
        contact: contact.map(|(name, phone)| wire::Contact { role: words::target(target).into(), name, phone }),
    })
}

/// One policy version; 0 is the newest that is no drill.
pub async fn policy(tx: &mut PgConnection, version: i64) -> Result<wire::Policy, Error> {
    let found = store::policy::policy(tx, version).await?.ok_or_else(|| Error::not_found("policy", version))?;
    let created = sqlx::query_scalar!("select created_at from policy where version = $1", found.version);
    let created = created.fetch_one(tx).await?;
    Ok(wire::Policy {
        version: found.version,
        drill: found.drill,
        reminder_check_after: Some(duration(found.reminder_check_after.num_milliseconds())),
        platform_fault_after: Some(duration(found.platform_fault_after.num_milliseconds())),
        answer_rungs: found.answer.iter().map(step).collect(),
        handling_rungs: found.handling.iter().map(step).collect(),
        create_time: Some(to_wire(created)),
    })
}

fn step(step: &Step) -> wire::PolicyRung {
    wire::PolicyRung {
        after: Some(duration(step.after_ms)),
        sms_text: step.sms.as_ref().map_or(0, |sms| sms.text.into()),
        sms_targets: step.sms.iter().flat_map(|sms| &sms.targets).map(|to| words::target(*to).into()).collect(),
        card: words::card(step.card).into(),
        callee: step.callee.map_or(0, |callee| words::target(callee).into()),
        push: step.push,
    }
}

fn duration(milliseconds: i64) -> prost_types::Duration {
    let nanos = i32::try_from(milliseconds % 1000 * 1_000_000).unwrap_or_default();
    prost_types::Duration { seconds: milliseconds / 1000, nanos }
}
