//! Assignments: of whistles, and of a unit.

use foundation::base::{Listing, Scope, Timestamp};
use foundation::data::Page;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::command::Evidence;
use crate::domain::ladder::Ladder;
use crate::domain::{AssignmentId, AssignmentState, Outcome, Role};
use crate::error::Error;
use crate::store::ladder;

/// An assignment as a screen shows one.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// Its whistle.
    pub whistle_id: Uuid,
    /// Its unit.
    pub unit_id: Uuid,
    /// Name of the unit.
    pub unit_name: String,
    /// Lead or supporting.
    pub role: Role,
    /// Its state.
    pub state: AssignmentState,
    /// Of the newest answer.
    pub responsible_person: Option<String>,
    /// Of the newest answer.
    pub answered_at: Option<Timestamp>,
    /// Of the newest submission.
    pub result: Option<String>,
    /// Of the newest submission.
    pub evidence: Option<Json<Vec<Evidence>>>,
    /// Of the newest submission.
    pub submitted_at: Option<Timestamp>,
    /// Of the newest grade.
    pub outcome: Option<Outcome>,
    /// When the street confirmed it.
    pub closed_at: Option<Timestamp>,
    /// The whistle's.
    pub handle_due_at: Timestamp,
}

/// An assignment with its ladders; without them, and without what only its unit may know, where it is another unit's.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The assignment.
    pub row: Row,
    /// In order of their ordinals.
    pub ladders: Vec<Ladder>,
}

/// The assignments of these whistles, oldest first; as this unit may see them, if one is given.
pub async fn of(tx: &mut PgConnection, whistles: &[Uuid], unit: Option<Uuid>) -> sqlx::Result<Vec<Assignment>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!", whistle_id as "whistle_id!", unit_id as "unit_id!", unit_name as "unit_name!", role as "role!: Role",
                  state as "state!: AssignmentState", responsible_person, answered_at, result,
                  evidence as "evidence: Json<Vec<Evidence>>", submitted_at, outcome as "outcome: Outcome", closed_at,
                  handle_due_at as "handle_due_at!" from assignment_shown
           where whistle_id = any($1) order by id"#,
        whistles
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    with_ladders(tx, rows, unit).await
}

/// A unit's assignments, newest first.
pub async fn list(
    tx: &mut PgConnection,
    scope: &Scope,
    asked: Option<Uuid>,
    state: Option<AssignmentState>,
    page: &Page<Uuid>,
) -> Result<Vec<Assignment>, Error> {
    let unit = match (scope.listing(""), asked) {
        (Some(Listing::All), Some(asked)) => asked,
        (Some(Listing::Unit(own)), None) => own,
        (Some(Listing::Unit(own)), Some(asked)) if own == asked => own,
        (Some(Listing::All), None) => {
            return Err(Error::invalid("unit_id", "must be set: you have no unit of your own"));
        }
        (_, asked) => return Err(Error::not_found("unit", asked.unwrap_or_default())),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!", whistle_id as "whistle_id!", unit_id as "unit_id!", unit_name as "unit_name!", role as "role!: Role",
                  state as "state!: AssignmentState", responsible_person, answered_at, result,
                  evidence as "evidence: Json<Vec<Evidence>>", submitted_at, outcome as "outcome: Outcome", closed_at,
                  handle_due_at as "handle_due_at!" from assignment_shown
           where unit_id = $1 and ($2::text is null or state = $2) and id < $3 order by id desc limit $4"#,
        unit,
        state.map(AssignmentState::word),
        page.before(),
        page.size
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    Ok(with_ladders(tx, rows, None).await?)
}

async fn with_ladders(tx: &mut PgConnection, rows: Vec<Row>, unit: Option<Uuid>) -> sqlx::Result<Vec<Assignment>> {
    let may = |row: &Row| unit.is_none_or(|unit| unit == row.unit_id);
    let ids: Vec<_> = rows.iter().filter(|row| may(row)).map(|row| AssignmentId(row.id)).collect();
    let mut ladders = ladder::read(tx, &ids).await?.0;
    let shown = rows.into_iter().map(|row| match may(&row) {
        true => Assignment { ladders: ladders.remove(&AssignmentId(row.id)).unwrap_or_default(), row },
        false => Assignment { row: row.of_another_unit(), ladders: Vec::new() },
    });
    Ok(shown.collect())
}

impl Row {
    /// What a unit may know of another's.
    fn of_another_unit(self) -> Row {
        Row {
            responsible_person: None,
            answered_at: None,
            result: None,
            evidence: None,
            submitted_at: None,
            outcome: None,
            closed_at: None,
            ..self
        }
    }
}
