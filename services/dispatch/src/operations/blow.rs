//! Blowing a whistle: T0, every ladder and the rung at T0, in one transaction.

use foundation::auth::{Belongs, Caller};
use foundation::clock::Timestamp;
use foundation::{id, outbox};
use proto::dispatch::v1 as wire;
use sqlx::PgConnection;

use super::announcements;
use crate::domain::directory::{self, Missing};
use crate::domain::ladder::{Fired, Kind, Ladder};
use crate::domain::policy::Policy;
use crate::domain::whistle::{Assignment, Event, Share, State, Whistle};
use crate::domain::{AssignmentId, Difficulty, GrievanceId, LadderId, Role, UnitId, WhistleId};
use crate::error::Error;
use crate::store::blow::{Known, known};
use crate::store::{self, Loaded};
use crate::views;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Blow {
    /// Over what.
    pub grievance: GrievanceId,
    /// Where it belongs.
    pub area: String,
    /// Which matter.
    pub matter: String,
    /// What the units are told.
    pub title: String,
    /// Where it is.
    pub place: String,
    /// The route.
    pub difficulty: Difficulty,
    /// On whom.
    pub calls: Vec<(UnitId, Role)>,
    /// By when it shall be handled.
    pub handle_by: Timestamp,
    /// 0 for the newest policy.
    pub policy: i64,
}

/// Blows it; the answer lists the contacts that the ladder will miss.
pub async fn blow(tx: &mut PgConnection, caller: &Caller, blow: Blow) -> Result<wire::BlowWhistleResponse, Error> {
    if !caller.may(Belongs { area: Some(&blow.area), ..Belongs::default() }) {
        return Err(Error::not_found("area", &blow.area));
    }
    let units: Vec<_> = blow.calls.iter().map(|(unit, _)| *unit).collect();
    let known = known(tx, &units, &blow.matter, blow.policy).await?;
    let Some(known) = known else { return Err(invalid("policy_version".into(), "names no policy")) };
    let (missing, now) = (missing_contacts(&units, &known)?, known.now);
    if blow.handle_by <= now {
        return Err(invalid("handle_by".into(), "must be in the future"));
    }
    let (loaded, fired) = started(&blow, now, known.policy);
    insert(tx, &blow, &loaded, &fired).await?;
    let mut facts = vec![announcements::blown(&loaded)];
    let events = fired.into_iter().map(|(id, fired)| Event::Fired(id, fired));
    facts.extend(events.filter_map(|event| announcements::of(&event, &loaded, now)));
    outbox::announce(tx, facts).await?;
    let whistle = views::blown(&loaded, &blow);
    Ok(wire::BlowWhistleResponse { whistle: Some(whistle), missing_contacts: missing.iter().map(to_wire).collect() })
}

fn invalid(field: String, description: &'static str) -> Error {
    Error::Invalid { field, description }
}

fn to_wire(missing: &Missing) -> wire::MissingContact {
    let unit_id = missing.unit.map(|unit| unit.to_string()).unwrap_or_default();
    wire::MissingContact { unit_id, role: announcements::target(missing.role).into() }
}

/// The contacts that the ladder will miss.
fn missing_contacts(units: &[UnitId], known: &Known) -> Result<Vec<Missing>, Error> {
    let with_roles = units.iter().enumerate().map(|(index, unit)| match known.roles.get(&unit.0) {
        Some(roles) => Ok((*unit, roles.clone())),
        None => Err(invalid(format!("calls[{index}].unit_id"), "names no unit of the directory")),
    });
    let with_roles: Vec<_> = with_roles.collect::<Result<_, _>>()?;
    Ok(directory::missing(&known.policy, &with_roles, known.deputy_mayor))
}

/// The whistle as it starts, and the rungs that fire with it.
fn started(blow: &Blow, now: Timestamp, policy: Policy) -> (Loaded, Vec<(AssignmentId, Fired)>) {
    let mut fired = Vec::new();
    let share = |(unit, role): &(UnitId, Role)| {
        let id = AssignmentId(id::new());
        let mut ladder = Ladder::start(LadderId(id::new()), Kind::Answer, 1, now, now, &policy);
        fired.extend(ladder.fire(now, &policy).into_iter().map(|rung| (id, rung)));
        Assignment { id, unit: *unit, role: *role, state: Share::Whistled, ladders: vec![ladder] }
    };
    let assignments = blow.calls.iter().map(share).collect();
    let id = WhistleId(id::new());
    let whistle = Whistle { id, state: State::Open, handle_by: blow.handle_by, blown_at: now, assignments };
    let (grievance, area, matter) = (blow.grievance, blow.area.clone(), blow.matter.clone());
    (Loaded { whistle, grievance, area, matter, policy, version: 1, now }, fired)
}

async fn insert(
    tx: &mut PgConnection,
    blow: &Blow,
    loaded: &Loaded,
    fired: &[(AssignmentId, Fired)],
) -> Result<(), Error> {
    whistle(tx, blow, loaded).await?;
    let shares = &loaded.whistle.assignments;
    let ladders: Vec<_> = shares.iter().flat_map(|share| share.ladders.iter().map(|own| (share.id, own))).collect();
    let fired: Vec<_> = fired.iter().map(|(id, fired)| (*id, fired)).collect();
    Ok(store::start(tx, &ladders, &fired, &loaded.policy).await?)
}

/// With every unit's share; nothing when the grievance has an open whistle already.
async fn whistle(tx: &mut PgConnection, blow: &Blow, loaded: &Loaded) -> Result<(), Error> {
    let whistle = &loaded.whistle;
    let (mut ids, mut units, mut roles, mut dues) = (vec![], vec![], vec![], vec![]);
    for share in &whistle.assignments {
        ids.push(share.id.0);
        units.push(share.unit.0);
        roles.push(share.role.word().to_owned());
        dues.push(share.next_due());
    }
    let inserted = sqlx::query!(
        "with blown as (
             insert into whistle (id, grievance_id, area, matter, title, place, difficulty, state, blown_at, policy_version,
                                  handle_by, version)
             values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10, 1)
             on conflict (grievance_id, area) where state = 'open' do nothing returning id)
         insert into assignment (id, whistle_id, unit_id, role, state, next_due_at)
         select share.id, blown.id, unit_id, role, 'whistled', due_at from blown,
             unnest($11::uuid[], $12::uuid[], $13::text[], $14::timestamptz[]) as share (id, unit_id, role, due_at)",
        whistle.id.0,
        loaded.grievance.0,
        loaded.area,
        loaded.matter,
        blow.title,
        blow.place,
        blow.difficulty.word(),
        whistle.blown_at,
        loaded.policy.version,
        whistle.handle_by,
        &ids,
        &units,
        &roles,
        &dues as &[Option<Timestamp>]
    );
    match inserted.execute(tx).await?.rows_affected() {
        0 => Err(Error::OpenAlready(loaded.grievance)),
        _ => Ok(()),
    }
}
