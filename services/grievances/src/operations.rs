//! Load, decide, save, announce: one transaction per command, which the caller of these functions commits.

use foundation::auth::{Belongs, Caller};
use foundation::{clock, outbox};
use proto::access::Role;
use proto::grievances::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Command, State, Whistle, decide, heard};
use crate::error::Error;
use crate::store::{self, Grade, Loaded, New};
use crate::{announcements, views};

/// Raises a grievance.
pub async fn submit(tx: &mut PgConnection, caller: &Caller, new: &New) -> Result<wire::Grievance, Error> {
    if !caller.may(Belongs { area: Some(&new.area), owners: &[&new.submitter], ..Belongs::default() }) {
        return Err(Error::NotFound(format!("area {}", new.area)));
    }
    if caller.has(Role::Resident) && new.owner != caller.subject {
        return Err(Error::Invalid { field: "resident_id".into(), description: "must be your own, or empty" });
    }
    if new.source.is_some() && !(caller.has(Role::Hotline) || caller.has(Role::Centre)) {
        return Err(Error::Invalid { field: "source".into(), description: "is for the hotline and the centre" });
    }
    let id = foundation::id::new();
    let now = clock::now(tx).await?;
    store::add(tx, id, new, now).await?;
    outbox::announce(tx, vec![announcements::submitted(id, new)]).await?;
    views::grievance(tx, id).await
}

/// Records one stage of the street's review.
pub async fn review(
    tx: &mut PgConnection,
    caller: &Caller,
    id: Uuid,
    stage: Command,
) -> Result<wire::Grievance, Error> {
    let loaded = allowed(tx, caller, id).await?;
    run(tx, loaded, stage, None).await
}

/// Grades the result.
pub async fn grade(tx: &mut PgConnection, caller: &Caller, id: Uuid, grade: &Grade) -> Result<wire::Grievance, Error> {
    let loaded = allowed(tx, caller, id).await?;
    store::grade(tx, id, grade).await?;
    run(tx, loaded, Command::Grade, Some(grade)).await
}

/// A fact of the whistle over a grievance: the newest decides. A whistle of another area says nothing here.
pub async fn hear(tx: &mut PgConnection, id: Uuid, area: &str, whistle: Whistle, state: State) -> Result<(), Error> {
    let loaded = store::load(tx, id).await?;
    let same_branch = loaded.area.starts_with(area) || area.starts_with(&loaded.area);
    if area.is_empty() || !same_branch {
        return Err(Error::NotFound(format!("grievance {id} in area {area}")));
    }
    if let Some(after) = heard(&loaded.grievance, whistle, state)? {
        store::save(tx, &loaded, &after).await?;
    }
    Ok(())
}

async fn allowed(tx: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Loaded, Error> {
    let loaded = store::load(tx, id).await?;
    let owners = [loaded.owner.as_str(), &loaded.submitter];
    match caller.may(Belongs { area: Some(&loaded.area), owners: &owners, ..Belongs::default() }) {
        true => Ok(loaded),
        false => Err(Error::NotFound(format!("grievance {id}"))),
    }
}

async fn run(
    tx: &mut PgConnection,
    loaded: Loaded,
    command: Command,
    grade: Option<&Grade>,
) -> Result<wire::Grievance, Error> {
    let (after, event) = decide(&loaded.grievance, command, loaded.now)?;
    let saved = store::save(tx, &loaded, &after).await?;
    outbox::announce(tx, announcements::of(event, &saved, grade).into_iter().collect()).await?;
    views::grievance(tx, saved.id).await
}
