//! Units, gaps, and whom an effect is for.

use std::collections::BTreeMap;

use foundation::base::{Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::directory::{Contact, OF_UNIT};
use crate::domain::{AssignmentId, LadderId, Target, UnitId};
use crate::error::Error;

/// A unit with its contacts.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its id.
    pub id: Uuid,
    /// Shown to people.
    pub name: String,
    /// Grows with every change.
    pub version: i64,
    /// By role; numbers in clear.
    pub contacts: Vec<Contact>,
}

struct Row {
    id: Uuid,
    name: String,
    version: i64,
}

/// One unit.
pub async fn unit(tx: &mut PgConnection, scope: &Scope, id: UnitId) -> Result<Unit, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, version from unit where id = $1 and ($2 or id = $3)",
        id.0,
        scope.all(),
        scope.unit()
    );
    let row = row.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::not_found("unit", id))?;
    let unit = with_contacts(tx, vec![row]).await?.pop();
    unit.ok_or_else(|| Error::not_found("unit", id))
}

/// Units, newest first by their ids. The whole directory: whoever may list it sees all of it.
pub async fn units(tx: &mut PgConnection, scope: &Scope, page: &Page<Uuid>) -> Result<Vec<Unit>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, version from unit where $1 and id < $2 order by id desc limit $3",
        scope.all(),
        page.before(),
        page.size
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    Ok(with_contacts(tx, rows).await?)
}

async fn with_contacts(tx: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<Vec<Unit>> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let contacts = sqlx::query!(
        r#"select unit_id, role as "role: Target", name, phone from contact where unit_id = any($1) order by role"#,
        &ids
    );
    let mut by_unit: BTreeMap<Uuid, Vec<Contact>> = BTreeMap::new();
    for row in contacts.fetch_all(tx).await? {
        by_unit.entry(row.unit_id).or_default().push(Contact { role: row.role, name: row.name, phone: row.phone });
    }
    let units = rows.into_iter().map(|Row { id, name, version }| {
        let contacts = by_unit.remove(&id).unwrap_or_default();
        Unit { id, name, version, contacts }
    });
    Ok(units.collect())
}

/// A unit that lacks contacts.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The unit.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The roles that nobody holds.
    pub missing: Vec<Target>,
}

/// Units that lack a contact that ladders need, newest first by their ids.
pub async fn gaps(tx: &mut PgConnection, scope: &Scope, page: &Page<Uuid>) -> Result<Vec<Gap>, Error> {
    let needed: Vec<_> = OF_UNIT.iter().map(|role| role.word()).collect();
    let gaps = sqlx::query_as!(
        Gap,
        r#"select u.id, u.name, array_agg(needed.role) as "missing!: Vec<Target>"
           from unit u cross join unnest($1::text[]) as needed (role)
           where $4 and u.id < $2 and not exists (select from contact c where c.unit_id = u.id and c.role = needed.role)
           group by u.id order by u.id desc limit $3"#,
        &needed as &[&str],
        page.before(),
        page.size,
        scope.all()
    );
    Ok(gaps.fetch_all(tx).await?)
}

/// Whom an effect is for and what it speaks of, in clear.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Name of the unit.
    pub unit_name: String,
    /// What it was told.
    pub title: String,
    /// Where it is.
    pub place: String,
    /// T0.
    pub blown_at: Timestamp,
    /// By when it shall be handled.
    pub handle_due_at: Timestamp,
    /// None while the ladder runs.
    pub stopped_at: Option<Timestamp>,
    /// Who holds the role.
    pub name: Option<String>,
    /// How to reach them.
    pub phone: Option<String>,
    /// Nothing may leave for now.
    pub held: bool,
}

/// Whom an effect is for, in clear, and whether its ladder still runs. For other services only.
pub async fn resolve(
    tx: &mut PgConnection,
    scope: &Scope,
    (assignment, ladder, target): (AssignmentId, LadderId, Target),
) -> Result<Resolved, Error> {
    let row = sqlx::query_as!(
        Resolved,
        r#"select u.name as unit_name, w.title, w.place, w.blown_at, l.stopped_at,
                  case when l.kind = 'handling' then l.started_at else w.handle_due_at end as "handle_due_at!",
                  coalesce(c.name, m.name) as "name?", coalesce(c.phone, m.phone) as "phone?",
                  (select held_at is not null from log_head) as "held!"
           from assignment a
           join whistle w on w.id = a.whistle_id
           join unit u on u.id = a.unit_id
           join ladder l on l.id = $2 and l.assignment_id = a.id
           left join contact c on c.unit_id = a.unit_id and c.role = $3
           left join deputy_mayor m on m.matter = w.matter and $3 = 'deputy_mayor'
           where a.id = $1 and $4"#,
        assignment.0,
        ladder.0,
        target.word(),
        scope.all()
    );
    match row.fetch_optional(tx).await? {
        Some(row) if row.held => Err(Error::Held),
        Some(row) => Ok(row),
        None => Err(Error::not_found("ladder", ladder)),
    }
}
