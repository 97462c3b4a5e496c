//! Cases with their timelines and corrections: as many statements for one as for a page.

use foundation::base::{Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use super::timeline;
use crate::domain::CaseState;
use crate::error::Error;

/// A case as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// The effect's id.
    pub id: Uuid,
    /// Its place in the list.
    pub list_id: Uuid,
    /// Its whistle.
    pub whistle_id: Uuid,
    /// Its assignment.
    pub assignment_id: Uuid,
    /// The unit.
    pub unit_id: Uuid,
    /// When its rung was due.
    pub due_at: Timestamp,
    /// Its state.
    pub state: CaseState,
    /// When it may first have left.
    pub left_at: Option<Timestamp>,
    /// When its receipt came.
    pub accepted_at: Option<Timestamp>,
    /// 阳光+'s number.
    pub receipt: Option<String>,
}

/// A correction as a screen shows one.
#[derive(Debug, Clone)]
pub struct Correction {
    /// Its id.
    pub id: Uuid,
    /// Its case.
    pub case_id: Uuid,
    /// When its receipt came.
    pub accepted_at: Option<Timestamp>,
    /// 阳光+'s number.
    pub receipt: Option<String>,
}

/// A case with all that belongs to it.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The case.
    pub case: Row,
    /// What has happened, oldest first.
    pub timeline: Vec<timeline::Row>,
    /// What was sent after it.
    pub corrections: Vec<Correction>,
}

macro_rules! shown {
    ($rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"select f.id, f.list_id, f.whistle_id, f.assignment_id, f.unit_id, f.due_at,
                      case d.state when 'held' then 'held' when 'drill' then 'drill' when 'accepted' then 'pushed'
                      else 'pending' end as "state!: CaseState",
                      d.left_at, d.accepted_at, d.answer as receipt from case_file f join delivery d on d.id = f.id "# + $rest,
            $($argument),*
        )
    };
}

/// One case.
pub async fn get(tx: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<Whole, Error> {
    let row = shown!("where f.id = $1 and $2", id, scope.all()).fetch_optional(&mut *tx).await?;
    whole(tx, row.into_iter().collect()).await?.pop().ok_or_else(|| Error::not_found("case", id))
}

/// Newest first.
pub async fn list(
    tx: &mut PgConnection,
    scope: &Scope,
    state: Option<CaseState>,
    page: &Page<Uuid>,
) -> Result<Vec<Whole>, Error> {
    let rows = shown!(
        "where $1 and f.list_id < $2 and ($3::text is null or d.state = any(case $3 when 'pushed' then array['accepted']
             when 'pending' then array['queued', 'leased'] else array[$3] end))
         order by f.list_id desc limit $4",
        scope.all(),
        page.before(),
        state.map(CaseState::word),
        page.size
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    whole(tx, rows).await
}

async fn whole(tx: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Whole>, Error> {
    let column = |value: fn(&Row) -> Uuid| rows.iter().map(value).collect::<Vec<_>>();
    let lines = timeline::of(&mut *tx, &column(|row| row.whistle_id), &column(|row| row.assignment_id)).await?;
    let corrections = corrections(tx, &column(|row| row.id)).await?;
    let whole = rows.into_iter().map(|case| Whole {
        timeline: lines.iter().filter(|line| line.concerns(case.whistle_id, case.assignment_id)).copied().collect(),
        corrections: corrections.iter().filter(|correction| correction.case_id == case.id).cloned().collect(),
        case,
    });
    Ok(whole.collect())
}

async fn corrections(tx: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<Correction>> {
    sqlx::query_as!(
        Correction,
        r#"select c.id, c.case_id, d.accepted_at as "accepted_at?", d.answer as "receipt?" from correction c
           cross join lateral (select accepted_at, answer from delivery where id = c.id limit 1) d
           where c.case_id = any($1) order by c.id"#,
        cases
    )
    .fetch_all(tx)
    .await
}
