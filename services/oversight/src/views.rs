//! SQL that only reads, for whoever asks.

use foundation::clock::to_wire;
use proto::oversight::v1 as wire;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::State;
use crate::error::Error;

/// What has happened to one unit's share, oldest first.
pub async fn timeline(
    tx: &mut PgConnection,
    whistle: Uuid,
    assignment: Uuid,
) -> sqlx::Result<Vec<wire::TimelineEntry>> {
    let rows = sqlx::query!(
        "select at, text from timeline where whistle_id = $1 and (assignment_id = $2 or assignment_id is null)
         order by at, id",
        whistle,
        assignment
    );
    let rows = rows.fetch_all(tx).await?;
    Ok(rows.into_iter().map(|row| wire::TimelineEntry { time: Some(to_wire(row.at)), text: row.text }).collect())
}

/// One case.
pub async fn case(tx: &mut PgConnection, id: Uuid) -> Result<wire::Case, Error> {
    let cases = cases(tx, Some(id), None, Uuid::max(), 1).await?;
    cases.into_iter().next().map(|(_, case)| case).ok_or_else(|| Error::NotFound(format!("case {id}")))
}

/// Cases, newest first, each with its place in the list.
pub async fn cases(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    asked: Option<State>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, wire::Case)>, Error> {
    let rows = sqlx::query!(
        "select * from case_file where ($1::uuid is null or id = $1) and ($2::text is null or state = $2)
         and list_id < $3 order by list_id desc limit $4",
        only,
        asked.map(State::word),
        before,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut cases = Vec::with_capacity(rows.len());
    for row in rows {
        let case = wire::Case {
            case_id: row.id.to_string(),
            whistle_id: row.whistle_id.to_string(),
            assignment_id: row.assignment_id.to_string(),
            unit_id: row.unit_id.to_string(),
            state: state(State::of(&row.state).map_err(sqlx::Error::from)?).into(),
            due_at: Some(to_wire(row.due_at)),
            late_by_ms: row.first_sent_at.map_or(0, |sent| (sent - row.due_at).num_milliseconds()),
            receive_time: row.received_at.map(to_wire),
            receipt: row.receipt.unwrap_or_default(),
            timeline: timeline(tx, row.whistle_id, row.assignment_id).await?,
            corrections: corrections(tx, row.id).await?,
        };
        cases.push((row.list_id, case));
    }
    Ok(cases)
}

async fn corrections(tx: &mut PgConnection, case: Uuid) -> sqlx::Result<Vec<wire::Correction>> {
    let rows = sqlx::query!("select id, receipt, received_at from correction where case_id = $1 order by id", case);
    let rows = rows.fetch_all(tx).await?.into_iter().map(|row| wire::Correction {
        correction_id: row.id.to_string(),
        receipt: row.receipt.unwrap_or_default(),
        receive_time: row.received_at.map(to_wire),
    });
    Ok(rows.collect())
}

fn state(state: State) -> wire::CaseState {
    match state {
        State::Pending => wire::CaseState::Pending,
        State::Held => wire::CaseState::Held,
        State::Pushed => wire::CaseState::Pushed,
        State::Drill => wire::CaseState::Drill,
    }
}
