//! Grievances.

use foundation::base::time::to_wire;
use foundation::base::words::number;
use foundation::base::{Timestamp, Violations, Wire as _, id};
use foundation::data::Page;
use foundation::data::history::Past;
use proto::grievances::v1;
use proto::grievances::v1::review_grievance_request::Stage;
use uuid::Uuid;

use crate::domain::grievance::{Changed, Command, Grade, New, Recorded};
use crate::domain::{GrievanceId, PhotoId, State};
use crate::views::grievance::{Row, Whole};

/// A grievance to be raised.
pub fn submit(v: &mut Violations, request: &v1::SubmitGrievanceRequest) -> Command {
    let photos = v.list("photo_ids", &request.photo_ids, 0..=9, |v, path, id| PhotoId(v.uuid(path, id)));
    let source = match (request.source.as_str(), request.source_id.as_str()) {
        ("", "") => None,
        (source, id) => Some((v.text("source", source, 1..=50), v.text("source_id", id, 1..=100))),
    };
    let resident = match request.resident_id.as_str() {
        "" => None,
        resident => Some(v.uuid("resident_id", resident).to_string()),
    };
    Command::Raise(Box::new(New {
        id: GrievanceId(id::new()),
        channel: v.text("channel", &request.channel, 1..=50),
        text: v.text("text", &request.text, 1..=2000),
        place: v.text("place", &request.place, 1..=200),
        area: v.area("area", &request.area),
        photos,
        source,
        resident,
    }))
}

/// A stage of the review.
pub fn review(v: &mut Violations, request: &v1::ReviewGrievanceRequest) -> Command {
    let id = grievance_id(v, &request.grievance_id);
    let recorded = match &request.stage {
        Some(Stage::Duty(stage)) => {
            Recorded::Duty(v.list("duty.unit_ids", &stage.unit_ids, 0..=20, |v, path, unit| v.uuid(path, unit)))
        }
        Some(Stage::Difficulty(stage)) => Recorded::Difficulty(v.word("difficulty.difficulty", stage.difficulty)),
        Some(Stage::TimeLimit(stage)) => {
            Recorded::TimeLimit(v.time("time_limit.handle_due_time", stage.handle_due_time.as_ref()))
        }
        None => {
            v.add("stage", "must be duty, difficulty or time_limit");
            Recorded::Duty(Vec::new())
        }
    };
    Command::Review(id, recorded)
}

/// How the resident grades.
pub fn grade(v: &mut Violations, request: &v1::GradeGrievanceRequest) -> Command {
    let id = grievance_id(v, &request.grievance_id);
    let given = v.part("grade", &request.grade);
    let grade = Grade {
        outcome: v.word("grade.outcome", given.outcome),
        satisfaction: v.word("grade.satisfaction", given.satisfaction),
        remark: v.text("grade.remark", &given.remark, 0..=500),
    };
    Command::Grade(id, grade)
}

fn grievance_id(v: &mut Violations, id: &str) -> GrievanceId {
    GrievanceId(v.uuid("grievance_id", id))
}

/// What a command answers.
pub fn status(changed: &Changed) -> v1::GrievanceStatus {
    v1::GrievanceStatus {
        grievance_id: changed.grievance.id.to_string(),
        state: changed.grievance.state.number(),
        version: changed.grievance.version,
        update_time: Some(to_wire(changed.at)),
    }
}

/// Which grievance.
pub fn key(v: &mut Violations, request: &v1::GetGrievanceRequest) -> GrievanceId {
    grievance_id(v, &request.grievance_id)
}

/// Which number of which source.
pub fn source_key(v: &mut Violations, request: &v1::LookUpGrievanceRequest) -> (String, String) {
    (v.text("source", &request.source, 1..=50), v.text("source_id", &request.source_id, 1..=100))
}

/// Of which area and state, and which page.
pub fn list(v: &mut Violations, request: &v1::ListGrievancesRequest) -> (String, Option<State>, Page<Uuid>) {
    let (area, state) = (v.area_if_set("area", &request.area), v.word_if_set("state", request.state));
    let page = Page::parse(v, request.page_size, &request.page_token, &("grievances", &area, state));
    (area, state, page)
}

/// A grievance as a screen shows one.
pub fn shown((row, past): Whole) -> v1::Grievance {
    let (review, grade) = (review_of(&row), grade_of(&row));
    v1::Grievance {
        grievance_id: row.id.to_string(),
        channel: row.channel,
        text: row.text,
        place: row.place,
        area: row.area,
        photo_ids: row.photo_ids.iter().map(Uuid::to_string).collect(),
        source: row.source.unwrap_or_default(),
        source_id: row.source_id.unwrap_or_default(),
        state: row.state.number(),
        review,
        whistle_id: row.whistle_id.map(|id| id.to_string()).unwrap_or_default(),
        grade,
        create_time: Some(to_wire(row.created_at)),
        update_time: Some(to_wire(row.updated_at)),
        version: row.version,
        steps: steps(&past),
    }
}

fn review_of(row: &Row) -> Option<v1::Review> {
    row.unit_ids.as_ref().map(|units| v1::Review {
        unit_ids: units.iter().map(Uuid::to_string).collect(),
        difficulty: number(row.difficulty),
        handle_due_time: row.handle_due_at.map(to_wire),
    })
}

fn grade_of(row: &Row) -> Option<v1::Grade> {
    row.outcome.zip(row.satisfaction).map(|(outcome, satisfaction)| v1::Grade {
        outcome: outcome.number(),
        satisfaction: satisfaction.number(),
        remark: row.remark.clone().unwrap_or_default(),
    })
}

/// The changes after which its state was another.
fn steps(past: &[Past]) -> Vec<v1::Step> {
    let states = past.iter().filter_map(|one| Some((state(one)?, one.at)));
    let mut steps: Vec<(State, Timestamp)> = states.collect();
    steps.dedup_by_key(|(state, _)| *state);
    let shown =
        steps.into_iter().map(|(state, at)| v1::Step { state: state.number(), occurred_time: Some(to_wire(at)) });
    shown.collect()
}

fn state(past: &Past) -> Option<State> {
    State::of(past.data.get("state")?.as_str()?).ok()
}
