//! Grievances, by key, by a source's number, by area.

use std::collections::BTreeMap;

use foundation::base::{Listing, Scope, Timestamp};
use foundation::data::Page;
use foundation::data::history::{self, Past};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Difficulty, GrievanceId, Outcome, Satisfaction, State};
use crate::error::Error;

/// A grievance as a screen shows one, with its newest review and grade.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// The column it came by.
    pub channel: String,
    /// What it is about.
    pub text: String,
    /// Where.
    pub place: String,
    /// Smallest known area.
    pub area: String,
    /// Its photos.
    pub photo_ids: Vec<Uuid>,
    /// The outside system that handed it in.
    pub source: Option<String>,
    /// Its number there.
    pub source_id: Option<String>,
    /// Its state.
    pub state: State,
    /// Review stage 1.
    pub unit_ids: Option<Vec<Uuid>>,
    /// Review stage 2.
    pub difficulty: Option<Difficulty>,
    /// Review stage 3.
    pub handle_due_at: Option<Timestamp>,
    /// The newest whistle over it.
    pub whistle_id: Option<Uuid>,
    /// Of the newest grade.
    pub outcome: Option<Outcome>,
    /// Of the newest grade.
    pub satisfaction: Option<Satisfaction>,
    /// Of the newest grade.
    pub remark: Option<String>,
    /// When it was raised.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// Grows with every change.
    pub version: i64,
}

/// A grievance with what has happened to it, oldest first.
pub type Whole = (Row, Vec<Past>);

macro_rules! shown {
    ($rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"select id as "id!", channel as "channel!", text as "text!", place as "place!", area as "area!",
                      photo_ids as "photo_ids!", source, source_id, state as "state!: State", unit_ids,
                      difficulty as "difficulty: Difficulty", handle_due_at, whistle_id, outcome as "outcome: Outcome",
                      satisfaction as "satisfaction: Satisfaction", remark, created_at as "created_at!",
                      updated_at as "updated_at!", version as "version!" from grievance_shown "# + $rest,
            $($argument),*
        )
    };
}

/// One grievance.
pub async fn get(tx: &mut PgConnection, scope: &Scope, id: GrievanceId) -> Result<Whole, Error> {
    let row = shown!(
        "where id = $1 and ($2 or starts_with(area, $3) or owner = $4 or submitter = $4 or matter = any($5))",
        id.0,
        scope.all(),
        scope.area(),
        scope.own(),
        scope.matters()
    );
    let row = row.fetch_optional(&mut *tx).await?;
    only(tx, row).await?.ok_or_else(|| Error::not_found("grievance", id))
}

/// The one that a source's number names.
pub async fn by_source(
    tx: &mut PgConnection,
    scope: &Scope,
    (source, source_id): (&str, &str),
) -> Result<Whole, Error> {
    let row = shown!(
        "where source = $1 and source_id = $2 and ($3 or submitter = $4)",
        source,
        source_id,
        scope.all(),
        scope.own()
    );
    let row = row.fetch_optional(&mut *tx).await?;
    only(tx, row).await?.ok_or_else(|| Error::not_found("grievance", source_id))
}

async fn only(tx: &mut PgConnection, row: Option<Row>) -> sqlx::Result<Option<Whole>> {
    Ok(with_past(tx, row.into_iter().collect()).await?.pop())
}

/// Grievances of an area, or all, or of the caller's matters, newest first.
pub async fn list(
    tx: &mut PgConnection,
    scope: &Scope,
    area: &str,
    state: Option<State>,
    page: &Page<Uuid>,
) -> Result<Vec<Whole>, Error> {
    let state = state.map(State::word);
    let rows = match scope.listing(area) {
        Some(Listing::All) => all(tx, state, page).await?,
        Some(Listing::Area(area)) => of_area(tx, area, state, page).await?,
        Some(Listing::Matters(matters)) => of_matters(tx, matters, state, page).await?,
        Some(Listing::Unit(_) | Listing::Own(_)) | None => return Err(Error::not_found("area", area)),
    };
    Ok(with_past(tx, rows).await?)
}

async fn all(tx: &mut PgConnection, state: Option<&str>, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    let rows = shown!(
        "where ($1::text is null or state = $1) and id < $2 order by id desc limit $3",
        state,
        page.before(),
        page.size
    );
    rows.fetch_all(tx).await
}

/// Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
async fn of_area(tx: &mut PgConnection, area: &str, state: Option<&str>, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    let rows = shown!(
        "where area ~>=~ $1 and area ~<~ ($1 || '~') and ($2::text is null or state = $2) and id < $3
         order by id desc limit $4",
        area,
        state,
        page.before(),
        page.size
    );
    rows.fetch_all(tx).await
}

async fn of_matters(
    tx: &mut PgConnection,
    matters: &[String],
    state: Option<&str>,
    page: &Page<Uuid>,
) -> sqlx::Result<Vec<Row>> {
    let rows = shown!(
        "where matter = any($1) and ($2::text is null or state = $2) and id < $3 order by id desc limit $4",
        matters,
        state,
        page.before(),
        page.size
    );
    rows.fetch_all(tx).await
}

async fn with_past(tx: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<Vec<Whole>> {
    let subjects: Vec<_> = rows.iter().map(|row| history::subject(row.id)).collect();
    let mut past: BTreeMap<String, Vec<Past>> = BTreeMap::new();
    for (subject, one) in history::of(tx, &subjects).await? {
        past.entry(subject).or_default().push(one);
    }
    let whole = rows.into_iter().zip(&subjects).map(|(row, subject)| {
        let own = past.remove(subject).unwrap_or_default();
        (row, own)
    });
    Ok(whole.collect())
}
