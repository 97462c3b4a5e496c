//! SQL that only reads, for whoever asks.

use foundation::clock::to_wire;
use proto::common::v1 as common;
use proto::grievances::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announcements as words;
use crate::domain::{Difficulty, Outcome, Satisfaction, State};
use crate::error::Error;

/// Whose it is and where, for deciding who may see it.
pub async fn belongs(tx: &mut PgConnection, id: Uuid) -> Result<(String, String, String), Error> {
    let row = sqlx::query!("select area, owner, submitter from grievance where id = $1", id);
    let row = row.fetch_optional(tx).await?.ok_or_else(|| Error::NotFound(format!("grievance {id}")))?;
    Ok((row.area, row.owner, row.submitter))
}

/// The grievance that a source's number names, and who handed it in.
pub async fn by_source(tx: &mut PgConnection, source: &str, source_id: &str) -> Result<(Uuid, String), Error> {
    let row =
        sqlx::query!("select id, submitter from grievance where source = $1 and source_id = $2", source, source_id);
    let row =
        row.fetch_optional(tx).await?.ok_or_else(|| Error::NotFound(format!("grievance {source_id} of {source}")))?;
    Ok((row.id, row.submitter))
}

/// Ids of an area's grievances, newest first.
pub async fn ids(
    tx: &mut PgConnection,
    area: &str,
    state: Option<State>,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    // Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
    sqlx::query_scalar!(
        "select id from grievance where area ~>=~ $1 and area ~<~ ($1 || '~') and ($2::text is null or state = $2) and id < $3
         order by id desc limit $4",
        area,
        state.map(State::word),
        before,
        limit
    )
    .fetch_all(tx)
    .await
}

/// One grievance with its steps.
pub async fn grievance(tx: &mut PgConnection, id: Uuid) -> Result<wire::Grievance, Error> {
    let row = sqlx::query!("select * from grievance where id = $1", id);
    let row = row.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::NotFound(format!("grievance {id}")))?;
    let found = row.difficulty.as_deref().map(Difficulty::of).transpose().map_err(sqlx::Error::from)?;
    let outcome = row.outcome.as_deref().map(Outcome::of).transpose().map_err(sqlx::Error::from)?;
    let satisfaction = row.satisfaction.as_deref().map(Satisfaction::of).transpose().map_err(sqlx::Error::from)?;
    let remark = row.remark.unwrap_or_default();
    Ok(wire::Grievance {
        grievance_id: row.id.to_string(),
        channel: row.channel,
        text: row.text,
        place: row.place,
        area: row.area,
        photo_ids: row.photo_ids.iter().map(Uuid::to_string).collect(),
        source: row.source.unwrap_or_default(),
        source_id: row.source_id.unwrap_or_default(),
        state: state(State::of(&row.state).map_err(sqlx::Error::from)?).into(),
        review: row.unit_ids.map(|units| wire::Review {
            unit_ids: units.iter().map(Uuid::to_string).collect(),
            difficulty: found.map_or(common::Difficulty::Unspecified, words::difficulty).into(),
            handle_by: row.handle_by.map(to_wire),
        }),
        whistle_id: row.whistle_id.map(|id| id.to_string()).unwrap_or_default(),
        grade: outcome.zip(satisfaction).map(|(outcome, satisfaction)| wire::Grade {
            outcome: words::outcome(outcome).into(),
            satisfaction: words::satisfaction(satisfaction).into(),
            remark,
        }),
        create_time: Some(to_wire(row.created_at)),
        update_time: Some(to_wire(row.updated_at)),
        version: row.version,
        steps: steps(tx, id).await?,
    })
}

async fn steps(tx: &mut PgConnection, id: Uuid) -> Result<Vec<wire::Step>, Error> {
    let rows =
        sqlx::query!("select state, at from step where grievance_id = $1 order by version", id).fetch_all(tx).await?;
    let read = rows.into_iter().map(|row| {
        let state = state(State::of(&row.state).map_err(sqlx::Error::from)?).into();
        Ok(wire::Step { state, time: Some(to_wire(row.at)) })
    });
    read.collect()
}

fn state(state: State) -> wire::GrievanceState {
    match state {
        State::Raised => wire::GrievanceState::Raised,
        State::Reviewed => wire::GrievanceState::Reviewed,
        State::Whistled => wire::GrievanceState::Whistled,
        State::Handling => wire::GrievanceState::Handling,
        State::Submitted => wire::GrievanceState::Submitted,
        State::Graded => wire::GrievanceState::Graded,
        State::Closed => wire::GrievanceState::Closed,
    }
}
