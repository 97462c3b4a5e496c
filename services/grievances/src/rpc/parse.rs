//! Requests into commands; everything that is wrong is said at once.

use foundation::rpc::Violations;
use proto::common::v1 as common;
use proto::grievances::v1 as wire;
use proto::grievances::v1::review_grievance_request::Stage;
use tonic::Status;
use uuid::Uuid;

use crate::domain::photo::NotTaken;
use crate::domain::{Command, Difficulty, Outcome, Satisfaction, State};
use crate::store::{Grade, New};

/// Why a file is not taken, naming the field.
pub fn refused_photo(why: NotTaken) -> Status {
    let mut violations = Violations::default();
    violations.add("content", &why.to_string());
    violations.finish().err().unwrap_or_else(|| Status::invalid_argument(why.to_string()))
}

/// A grievance to be raised by this subject.
pub fn new(request: &wire::SubmitGrievanceRequest, subject: &str) -> Result<New, Status> {
    let mut violations = Violations::default();
    let v = &mut violations;
    v.require(request.photo_ids.len() <= 9, "photo_ids", "must be at most 9");
    let photos = request.photo_ids.iter().take(10).enumerate();
    let photo_ids = photos.map(|(index, id)| v.uuid(&format!("photo_ids[{index}]"), id)).collect();
    let source = match (request.source.as_str(), request.source_id.as_str()) {
        ("", "") => None,
        (source, id) => Some((v.text("source", source, 1..=50), v.text("source_id", id, 1..=100))),
    };
    let owner = match request.resident_id.as_str() {
        "" => subject.to_owned(),
        resident => v.uuid("resident_id", resident).to_string(),
    };
    let new = New {
        channel: v.text("channel", &request.channel, 1..=50),
        text: v.text("text", &request.text, 1..=2000),
        place: v.text("place", &request.place, 1..=200),
        area: v.area("area", &request.area),
        photo_ids,
        source,
        owner,
        submitter: subject.to_owned(),
    };
    violations.finish()?;
    Ok(new)
}

/// A stage of the review.
pub fn review(request: &wire::ReviewGrievanceRequest) -> Result<(Uuid, Command), Status> {
    let mut violations = Violations::default();
    let id = violations.uuid("grievance_id", &request.grievance_id);
    let command = match &request.stage {
        Some(Stage::Duty(stage)) => {
            violations.require(stage.unit_ids.len() <= 20, "duty.unit_ids", "must be at most 20");
            let units = stage.unit_ids.iter().take(21).enumerate();
            Command::Duty(
                units.map(|(index, unit)| violations.uuid(&format!("duty.unit_ids[{index}]"), unit)).collect(),
            )
        }
        Some(Stage::Difficulty(stage)) => Command::Difficulty(difficulty(&mut violations, stage.difficulty)),
        Some(Stage::TimeLimit(stage)) => {
            Command::TimeLimit(violations.time("time_limit.handle_by", stage.handle_by.as_ref()))
        }
        None => {
            violations.add("stage", "must be duty, difficulty or time_limit");
            Command::Grade
        }
    };
    violations.finish()?;
    Ok((id, command))
}

/// How the resident grades.
pub fn grade(request: &wire::GradeGrievanceRequest) -> Result<(Uuid, Grade), Status> {
    let mut violations = Violations::default();
    let id = violations.uuid("grievance_id", &request.grievance_id);
    let given = violations.part("grade", request.grade.clone());
    let outcome = match given.outcome() {
        common::Outcome::Solved => Outcome::Solved,
        common::Outcome::PartlySolved => Outcome::PartlySolved,
        common::Outcome::NotSolved => Outcome::NotSolved,
        common::Outcome::Unspecified => {
            violations.add("grade.outcome", "must be SOLVED, PARTLY_SOLVED or NOT_SOLVED");
            Outcome::Solved
        }
    };
    let satisfaction = match given.satisfaction() {
        common::Satisfaction::Satisfied => Satisfaction::Satisfied,
        common::Satisfaction::BasicallySatisfied => Satisfaction::BasicallySatisfied,
        common::Satisfaction::NotSatisfied => Satisfaction::NotSatisfied,
        common::Satisfaction::Unspecified => {
            violations.add("grade.satisfaction", "must be SATISFIED, BASICALLY_SATISFIED or NOT_SATISFIED");
            Satisfaction::Satisfied
        }
    };
    let remark = violations.text("grade.remark", &given.remark, 0..=500);
    violations.finish()?;
    Ok((id, Grade { outcome, satisfaction, remark }))
}

/// The state that a list is limited to.
pub fn state(violations: &mut Violations, value: i32) -> Option<State> {
    match wire::GrievanceState::try_from(value) {
        Ok(wire::GrievanceState::Unspecified) => None,
        Ok(wire::GrievanceState::Raised) => Some(State::Raised),
        Ok(wire::GrievanceState::Reviewed) => Some(State::Reviewed),
        Ok(wire::GrievanceState::Whistled) => Some(State::Whistled),
        Ok(wire::GrievanceState::Handling) => Some(State::Handling),
        Ok(wire::GrievanceState::Submitted) => Some(State::Submitted),
        Ok(wire::GrievanceState::Graded) => Some(State::Graded),
        Ok(wire::GrievanceState::Closed) => Some(State::Closed),
        Err(_) => {
            violations.add("state", "must be a grievance state");
            None
        }
    }
}

fn difficulty(violations: &mut Violations, value: i32) -> Difficulty {
    match common::Difficulty::try_from(value) {
        Ok(common::Difficulty::Simple) => Difficulty::Simple,
        Ok(common::Difficulty::Complex) => Difficulty::Complex,
        Ok(common::Difficulty::Long) => Difficulty::Long,
        Ok(common::Difficulty::Hard) => Difficulty::Hard,
        Ok(common::Difficulty::Neighbourly) => Difficulty::Neighbourly,
        Ok(common::Difficulty::Unspecified) | Err(_) => {
            violations.add("difficulty.difficulty", "must be a difficulty");
            Difficulty::Simple
        }
    }
}
