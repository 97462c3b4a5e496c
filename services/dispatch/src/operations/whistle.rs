//! The one way a whistle changes.

use foundation::BoxFuture;
use foundation::base::{Context, Timestamp};
use foundation::log::publish;
use sqlx::PgConnection;

use crate::announcements;
use crate::domain::command::{Blow, Command};
use crate::domain::directory::{Missing, missing};
use crate::domain::policy::Policy;
use crate::domain::whistle::{Changed, Whistle, decide};
use crate::error::Error;
use crate::store;

/// What a command is decided on.
struct Loaded {
    whistle: Option<Whistle>,
    policy: Policy,
    now: Timestamp,
    missing: Vec<Missing>,
}

/// Carries out a command.
pub fn run<'t>(
    tx: &'t mut PgConnection,
    context: &'t Context,
    command: Command,
) -> BoxFuture<'t, Result<Changed, Error>> {
    Box::pin(async move {
        let key = command.key();
        let Loaded { whistle: before, policy, now, missing } = load(tx, context, &command).await?;
        let (whistle, events) = decide(before.as_ref(), command, now, &policy)?;
        let changed = Changed { whistle, events, key, policy_version: policy.version, missing, at: now };
        if !changed.events.is_empty() {
            store::whistle::save(tx, before.as_ref(), &changed.whistle, &changed.events, &policy, now).await?;
            publish(tx, announcements::of(context, &changed, &policy)).await?;
        }
        Ok(changed)
    })
}

async fn load(tx: &mut PgConnection, context: &Context, command: &Command) -> Result<Loaded, Error> {
    if let Command::Blow(blow) = command {
        return begin(tx, context, blow).await;
    }
    let (whistle, policy, now) = store::whistle::load(tx, &context.scope, command.key()).await?;
    Ok(Loaded { whistle: Some(whistle), policy, now, missing: Vec::new() })
}

/// What a whistle is blown with.
async fn begin(tx: &mut PgConnection, context: &Context, blow: &Blow) -> Result<Loaded, Error> {
    if !context.scope.admits(&blow.area, &[]) {
        return Err(Error::not_found("area", &blow.area));
    }
    let units: Vec<_> = blow.assignees.iter().map(|assignee| assignee.unit).collect();
    let known = store::directory::known(tx, &units, &blow.matter, blow.policy_version).await?;
    let known = known.ok_or_else(|| Error::invalid("policy_version", "names no policy"))?;
    let roles = units.iter().enumerate().map(|(index, unit)| match known.roles.get(&unit.0) {
        Some(roles) => Ok((*unit, roles.clone())),
        None => Err(Error::invalid(format!("assignees[{index}].unit_id"), "names no unit of the directory")),
    });
    let roles = roles.collect::<Result<Vec<_>, Error>>()?;
    let missing = missing(&known.policy, &roles, known.deputy_mayor);
    Ok(Loaded { whistle: None, policy: known.policy, now: known.now, missing })
}
