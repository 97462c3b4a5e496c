//! Firing what is due: the same as a command, for many assignments at once. Every replica does it; locks keep them apart.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use foundation::base::{Context, metrics};
use foundation::log::publish;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements;
use crate::domain::policy::Policy;
use crate::error::Error;
use crate::store::ladder::Firing;
pub use crate::store::ladder::until_next;
use crate::store::{self, ladder};

/// Policies by version; they never change.
pub type Policies = BTreeMap<i64, Policy>;

/// Fires the due rungs of up to so many assignments, but for some: a number of statements that does not grow with them. Tells which it
/// took, also where it then fails.
pub async fn run_many(
    tx: &mut PgConnection,
    context: &Context,
    (limit, except): (i64, &[Uuid]),
    policies: &mut Policies,
    taken: &mut Vec<Uuid>,
) -> Result<(), Error> {
    let due = ladder::take_due(tx, limit, except).await?;
    taken.extend(due.iter().map(|due| due.id.0));
    if due.is_empty() {
        return Ok(());
    }
    for one in &due {
        if let Entry::Vacant(unknown) = policies.entry(one.policy_version) {
            let policy = store::policy::get(tx, one.policy_version).await?;
            unknown.insert(policy.ok_or_else(|| Error::not_found("policy", one.policy_version))?);
        }
    }
    let ids: Vec<_> = due.iter().map(|due| due.id).collect();
    let (mut ladders, now) = ladder::load(tx, &ids).await?;
    let (mut fired, mut next) = (Vec::new(), Vec::new());
    for one in &due {
        let (Some(policy), Some(ladder)) =
            (policies.get(&one.policy_version), ladders.get_mut(&one.id).and_then(|own| own.last_mut()))
        else {
            tracing::error!(assignment = %one.id, "has no ladder; it is due no more");
            next.push((one.id, None));
            continue;
        };
        fired.extend(ladder.fire(now, policy).into_iter().map(|rung| (one, rung, policy)));
        next.push((one.id, ladder.next_due()));
    }
    for (_, one, _) in &fired {
        metrics::late("rung", now - one.rung.due_at);
    }
    let rungs = fired.iter().map(|(due, fired, policy)| Firing { assignment: due.id, fired, policy });
    ladder::fire(tx, &rungs.collect::<Vec<_>>(), &next).await?;
    let events = fired.iter().map(|(due, fired, policy)| announcements::rung_fired(context, due, fired, policy));
    Ok(publish(tx, events.collect()).await?)
}
