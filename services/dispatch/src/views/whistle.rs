//! Whistles, by key and by area.

use std::collections::BTreeMap;

use foundation::base::{Listing, Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use uuid::Uuid;

use super::assignment::{self, Assignment};
use crate::domain::{Difficulty, WhistleId, WhistleState};
use crate::error::Error;

/// A whistle as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// Over what.
    pub grievance_id: Uuid,
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
    /// Its state.
    pub state: WhistleState,
    /// T0.
    pub blown_at: Timestamp,
    /// The policy that it keeps.
    pub policy_version: i64,
    /// By when it shall be handled.
    pub handle_due_at: Timestamp,
    /// Where it was withdrawn.
    pub withdraw_reason: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

/// A whistle with everything below it.
pub type Whole = (Row, Vec<Assignment>);

/// One whistle with everything below it.
pub async fn get(tx: &mut PgConnection, scope: &Scope, id: WhistleId) -> Result<Whole, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, grievance_id, area, matter, title, place, difficulty as "difficulty: Difficulty",
                  state as "state: WhistleState", blown_at, policy_version, handle_due_at, withdraw_reason, version
           from whistle where id = $1 and ($2 or starts_with(area, $3) or matter = any($4)
               or exists (select from assignment a where a.whistle_id = $1 and a.unit_id = $5))"#,
        id.0,
        scope.all(),
        scope.area(),
        scope.matters(),
        scope.unit()
    );
    let row = row.fetch_optional(&mut *tx).await?.ok_or_else(|| Error::not_found("whistle", id))?;
    // Whoever is here for a unit alone sees that unit's assignment, and of the others whose they are and how far.
    let whole = scope.all()
        || scope.area().is_some_and(|area| foundation::base::scope::covers(area, &row.area))
        || scope.matters().contains(&row.matter);
    let assignments = assignment::of(tx, &[row.id], scope.unit().filter(|_| !whole)).await?;
    Ok((row, assignments))
}

/// Whistles of an area, or all, or of the caller's matters, newest first.
pub async fn list(
    tx: &mut PgConnection,
    scope: &Scope,
    area: &str,
    state: Option<WhistleState>,
    page: &Page<Uuid>,
) -> Result<Vec<Whole>, Error> {
    let rows = match scope.listing(area) {
        Some(Listing::All) => all(tx, state, page).await?,
        Some(Listing::Area(area)) => of_area(tx, area, state, page).await?,
        Some(Listing::Matters(matters)) => of_matters(tx, matters, state, page).await?,
        Some(Listing::Unit(_) | Listing::Own(_)) | None => return Err(Error::not_found("area", area)),
    };
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut assignments: BTreeMap<Uuid, Vec<Assignment>> = BTreeMap::new();
    for assignment in assignment::of(tx, &ids, None).await? {
        assignments.entry(assignment.row.whistle_id).or_default().push(assignment);
    }
    let whole = rows.into_iter().map(|row| {
        let own = assignments.remove(&row.id).unwrap_or_default();
        (row, own)
    });
    Ok(whole.collect())
}

async fn all(tx: &mut PgConnection, state: Option<WhistleState>, page: &Page<Uuid>) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id, grievance_id, area, matter, title, place, difficulty as "difficulty: Difficulty",
                  state as "state: WhistleState", blown_at, policy_version, handle_due_at, withdraw_reason, version
           from whistle where ($1::text is null or state = $1) and id < $2 order by id desc limit $3"#,
        state.map(WhistleState::word),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}

/// Everything below an area, as a range that the index knows whatever the area is: digits sort before `~`.
async fn of_area(
    tx: &mut PgConnection,
    area: &str,
    state: Option<WhistleState>,
    page: &Page<Uuid>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id, grievance_id, area, matter, title, place, difficulty as "difficulty: Difficulty",
                  state as "state: WhistleState", blown_at, policy_version, handle_due_at, withdraw_reason, version
           from whistle where area ~>=~ $1 and area ~<~ ($1 || '~') and ($2::text is null or state = $2) and id < $3
           order by id desc limit $4"#,
        area,
        state.map(WhistleState::word),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}

async fn of_matters(
    tx: &mut PgConnection,
    matters: &[String],
    state: Option<WhistleState>,
    page: &Page<Uuid>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id, grievance_id, area, matter, title, place, difficulty as "difficulty: Difficulty",
                  state as "state: WhistleState", blown_at, policy_version, handle_due_at, withdraw_reason, version
           from whistle where matter = any($1) and ($2::text is null or state = $2) and id < $3
           order by id desc limit $4"#,
        matters,
        state.map(WhistleState::word),
        page.before(),
        page.size
    )
    .fetch_all(tx)
    .await
}
