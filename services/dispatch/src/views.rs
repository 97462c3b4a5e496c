//! SQL that only reads, for whoever asks.

pub mod directory;

use std::collections::BTreeMap;

use foundation::clock::to_wire;
use proto::common::v1 as common;
use proto::dispatch::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements as words;
use crate::domain::ladder::{Ladder, Rung};
use crate::domain::whistle::{Assignment, Share, State};
use crate::domain::{AssignmentId, Difficulty, Outcome, Role, WhistleId};
use crate::error::Error;
use crate::operations::blow::Blow;
use crate::store::{self, Loaded};

/// A whistle's belongings, for deciding who may see it.
pub async fn belongs(tx: &mut PgConnection, id: WhistleId) -> Result<(String, Vec<Uuid>), Error> {
    let row = sqlx::query!(
        r#"select w.area, array_agg(a.unit_id) as "units!" from whistle w join assignment a on a.whistle_id = w.id
           where w.id = $1 group by w.id"#,
        id.0
    );
    let row = row.fetch_optional(tx).await?.ok_or_else(|| Error::not_found("whistle", id))?;
    Ok((row.area, row.units))
}

/// One whistle with everything below it.
pub async fn whistle(tx: &mut PgConnection, id: WhistleId) -> Result<wire::Whistle, Error> {
    whistles(tx, &[id.0]).await?.pop().ok_or_else(|| Error::not_found("whistle", id))
}

/// A whistle at the moment in which it is blown.
pub fn blown(at: &Loaded, blow: &Blow) -> wire::Whistle {
    let whistle_id = at.whistle.id.to_string();
    let share = |share: &Assignment| wire::Assignment {
        assignment_id: share.id.to_string(),
        whistle_id: whistle_id.clone(),
        unit_id: share.unit.to_string(),
        role: words::role(share.role).into(),
        state: self::share(share.state).into(),
        ladders: share.ladders.iter().map(ladder).collect(),
        ..wire::Assignment::default()
    };
    wire::Whistle {
        assignments: at.whistle.assignments.iter().map(share).collect(),
        whistle_id: whistle_id.clone(),
        grievance_id: at.grievance.to_string(),
        area: at.area.clone(),
        matter: at.matter.clone(),
        title: blow.title.clone(),
        place: blow.place.clone(),
        difficulty: difficulty(blow.difficulty).into(),
        state: state(at.whistle.state).into(),
        blow_time: Some(to_wire(at.whistle.blown_at)),
        policy_version: at.policy.version,
        handle_by: Some(to_wire(at.whistle.handle_by)),
        withdraw_reason: String::new(),
        version: at.version,
    }
}

/// Ids of an area's whistles, newest first.
pub async fn whistle_ids(
    tx: &mut PgConnection,
    area: &str,
    state: Option<State>,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    // Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
    sqlx::query_scalar!(
        "select id from whistle where area ~>=~ $1 and area ~<~ ($1 || '~') and ($2::text is null or state = $2) and id < $3
         order by id desc limit $4",
        area,
        state.map(State::word),
        before,
        limit
    )
    .fetch_all(tx)
    .await
}

/// These whistles, newest first.
pub async fn whistles(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<wire::Whistle>, Error> {
    let rows =
        sqlx::query!("select * from whistle where id = any($1) order by id desc", ids).fetch_all(&mut *tx).await?;
    let of = sqlx::query_scalar!("select id from assignment where whistle_id = any($1) order by id", ids);
    let of = of.fetch_all(&mut *tx).await?;
    let shares = assignments(tx, &of).await?;
    let read = rows.into_iter().map(|row| {
        let whistle_id = row.id.to_string();
        Ok(wire::Whistle {
            assignments: shares.iter().filter(|share| share.whistle_id == whistle_id).cloned().collect(),
            whistle_id,
            grievance_id: row.grievance_id.to_string(),
            area: row.area,
            matter: row.matter,
            title: row.title,
            place: row.place,
            difficulty: difficulty(Difficulty::of(&row.difficulty).map_err(sqlx::Error::from)?).into(),
            state: state(State::of(&row.state).map_err(sqlx::Error::from)?).into(),
            blow_time: Some(to_wire(row.blown_at)),
            policy_version: row.policy_version,
            handle_by: Some(to_wire(row.handle_by)),
            withdraw_reason: row.withdraw_reason.unwrap_or_default(),
            version: row.version,
        })
    });
    read.collect()
}

/// Ids of a unit's assignments, newest first.
pub async fn assignment_ids(
    tx: &mut PgConnection,
    unit: Uuid,
    share: Option<Share>,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select id from assignment where unit_id = $1 and ($2::text is null or state = $2) and id < $3
         order by id desc limit $4",
        unit,
        share.map(Share::word),
        before,
        limit
    )
    .fetch_all(tx)
    .await
}

/// An assignment whose ladders are known already.
pub async fn assignment(tx: &mut PgConnection, known: &Assignment) -> Result<wire::Assignment, Error> {
    let ladders = BTreeMap::from([(known.id, known.ladders.clone())]);
    let shown = with_ladders(tx, &[known.id.0], ladders).await?.pop();
    shown.ok_or_else(|| Error::not_found("assignment", known.id))
}

/// These assignments, oldest first.
pub async fn assignments(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<wire::Assignment>, Error> {
    let of: Vec<_> = ids.iter().map(|id| AssignmentId(*id)).collect();
    let ladders = store::ladders(tx, &of).await?;
    with_ladders(tx, ids, ladders).await
}

async fn with_ladders(
    tx: &mut PgConnection,
    ids: &[Uuid],
    mut ladders: BTreeMap<AssignmentId, Vec<Ladder>>,
) -> Result<Vec<wire::Assignment>, Error> {
    let rows = sqlx::query!("select * from assignment where id = any($1) order by id", ids).fetch_all(&mut *tx).await?;
    let read = rows.into_iter().map(|row| {
        let own = ladders.remove(&AssignmentId(row.id)).unwrap_or_default();
        Ok(wire::Assignment {
            assignment_id: row.id.to_string(),
            whistle_id: row.whistle_id.to_string(),
            unit_id: row.unit_id.to_string(),
            role: words::role(Role::of(&row.role).map_err(sqlx::Error::from)?).into(),
            state: share(Share::of(&row.state).map_err(sqlx::Error::from)?).into(),
            responsible_person: row.responsible_person.unwrap_or_default(),
            answer_time: row.answered_at.map(to_wire),
            result: row.result.unwrap_or_default(),
            evidence: row.evidence.map(evidence).transpose()?.unwrap_or_default(),
            submit_time: row.submitted_at.map(to_wire),
            outcome: outcome(row.outcome.as_deref().map(Outcome::of).transpose().map_err(sqlx::Error::from)?).into(),
            close_time: row.closed_at.map(to_wire),
            ladders: own.iter().map(ladder).collect(),
        })
    });
    read.collect()
}

fn evidence(stored: serde_json::Value) -> serde_json::Result<Vec<wire::Evidence>> {
    #[derive(serde::Deserialize)]
    struct Stored {
        photo_id: String,
        place: String,
        time: foundation::clock::Timestamp,
    }
    let stored: Vec<Stored> = serde_json::from_value(stored)?;
    let to = |one: Stored| wire::Evidence { photo_id: one.photo_id, place: one.place, time: Some(to_wire(one.time)) };
    Ok(stored.into_iter().map(to).collect())
}

fn ladder(ladder: &Ladder) -> wire::Ladder {
    wire::Ladder {
        ladder_id: ladder.id.to_string(),
        kind: words::kind(ladder.kind).into(),
        generation: ladder.generation,
        start_time: Some(to_wire(ladder.started_at)),
        stop_time: ladder.stopped_at.map(to_wire),
        rungs: ladder.rungs.iter().map(|one| rung(one, ladder)).collect(),
    }
}

fn rung(rung: &Rung, ladder: &Ladder) -> wire::Rung {
    let state = match (rung.fired_at, ladder.stopped_at) {
        (Some(_), _) => wire::RungState::Fired,
        (None, Some(stopped)) if rung.due_at > stopped => wire::RungState::Void,
        (None, Some(_) | None) => wire::RungState::Pending,
    };
    wire::Rung {
        rung: rung.number,
        due_at: Some(to_wire(rung.due_at)),
        state: state.into(),
        fired_at: rung.fired_at.map(to_wire),
        late_by_ms: rung.fired_at.map_or(0, |fired| (fired - rung.due_at).num_milliseconds()),
        platform_fault: rung.platform_fault,
        card: words::card(rung.card.filter(|_| rung.fired_at.is_some())).into(),
        annul_reason: rung.annul_reason.clone().unwrap_or_default(),
    }
}

fn state(state: State) -> wire::WhistleState {
    match state {
        State::Open => wire::WhistleState::Open,
        State::Closed => wire::WhistleState::Closed,
        State::Withdrawn => wire::WhistleState::Withdrawn,
    }
}

fn share(share: Share) -> wire::AssignmentState {
    match share {
        Share::Whistled => wire::AssignmentState::Whistled,
        Share::Answered => wire::AssignmentState::Answered,
        Share::Submitted => wire::AssignmentState::Submitted,
        Share::Closed => wire::AssignmentState::Closed,
        Share::Withdrawn => wire::AssignmentState::Withdrawn,
    }
}

fn outcome(outcome: Option<Outcome>) -> common::Outcome {
    match outcome {
        Some(Outcome::Solved) => common::Outcome::Solved,
        Some(Outcome::PartlySolved) => common::Outcome::PartlySolved,
        Some(Outcome::NotSolved) => common::Outcome::NotSolved,
        None => common::Outcome::Unspecified,
    }
}

fn difficulty(difficulty: Difficulty) -> common::Difficulty {
    match difficulty {
        Difficulty::Complex => common::Difficulty::Complex,
        Difficulty::Long => common::Difficulty::Long,
        Difficulty::Hard => common::Difficulty::Hard,
    }
}
