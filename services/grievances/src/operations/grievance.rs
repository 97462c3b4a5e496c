//! The one way a grievance changes, and the same for many whose whistles have come further.

use std::collections::{BTreeMap, BTreeSet};

use foundation::BoxFuture;
use foundation::base::Context;
use foundation::log::{Received, publish};
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::grievance::{Changed, Command, Progress, decide};
use crate::error::Error;
use crate::store;

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let actor = context.actor();
        let (before, at) = match &command {
            Command::Raise(new) if context.scope.admits(&new.area, &[&actor.subject]) => {
                (None, store::grievance::begin(tx, new).await?)
            }
            Command::Raise(new) => return Err(Error::not_found("area", &new.area)),
            Command::Review(..) | Command::Grade(..) | Command::Progress(..) => {
                let (before, now) = store::grievance::load(tx, &context.scope, command.id()).await?;
                (Some(before), now)
            }
        };
        let (grievance, events) = decide(before.as_ref(), command, actor, at)?;
        let changed = Changed { grievance, events, at };
        if !changed.events.is_empty() {
            store::grievance::record(tx, &changed.grievance, &changed.events, actor, at).await?;
            if before.is_some() {
                store::grievance::save(tx, &[&changed.grievance], at).await?;
            }
            publish(tx, announcements::of(context, before.as_ref(), &changed)).await?;
        }
        Ok(changed)
    })
}

/// Takes up what events say of grievances, in their order, with a number of statements that does not grow with theirs.
pub async fn progress_many(tx: &mut PgConnection, said: &[Received<Progress>]) -> Result<(), Error> {
    let Some(first) = said.first() else { return Ok(()) };
    let ids: BTreeSet<_> = said.iter().map(|one| one.grievance).collect();
    let (known, at) = store::grievance::load_many(tx, &first.context().scope, &ids).await?;
    let mut known: BTreeMap<_, _> = known.into_iter().map(|one| (one.id, one)).collect();
    let (mut moved, mut announced) = (BTreeSet::new(), Vec::new());
    for one in said {
        let id = one.grievance;
        let before = known.get(&id).ok_or_else(|| Error::not_found("grievance", id))?;
        let command = Command::Progress(one.event.clone());
        let (grievance, events) = decide(Some(before), command, one.context().actor(), at)?;
        if events.is_empty() {
            continue;
        }
        let changed = Changed { grievance, events, at };
        let all = announcements::of(one.context(), Some(before), &changed);
        announced.extend(all.into_iter().map(|each| each.in_trace(one.traceparent.clone())));
        known.insert(id, changed.grievance);
        moved.insert(id);
    }
    let moved: Vec<_> = known.values().filter(|one| moved.contains(&one.id)).collect();
    if !moved.is_empty() {
        store::grievance::save(tx, &moved, at).await?;
        publish(tx, announced).await?;
    }
    Ok(())
}
