//! Whistles and assignments.

use std::collections::BTreeSet;

use foundation::base::time::to_wire;
use foundation::base::words::number;
use foundation::base::{Timestamp, Violations, Wire as _, id};
use foundation::data::Page;
use proto::dispatch::v1;
use proto::dispatch::v1::blow_whistle_request as blow;
use uuid::Uuid;

use crate::domain::command::{Assignee, Blow, Command, Evidence, Key};
use crate::domain::directory::Missing;
use crate::domain::ladder::{Ladder, Rung};
use crate::domain::whistle::Changed;
use crate::domain::{
    AssignmentId, AssignmentState, GrievanceId, Kind, LadderId, Role, UnitId, WhistleId, WhistleState,
};
use crate::views::assignment::Assignment;
use crate::views::whistle::Whole;

/// A whistle to be blown.
pub fn blow(v: &mut Violations, request: &v1::BlowWhistleRequest) -> Command {
    v.require(request.policy_version >= 0, "policy_version", "must be a version, or 0 for the newest");
    Command::Blow(Box::new(Blow {
        id: WhistleId(id::new()),
        grievance: subject(v, request.subject.as_ref()),
        area: v.area("area", &request.area),
        matter: v.text("matter", &request.matter, 1..=50),
        title: v.text("title", &request.title, 1..=40),
        place: v.text("place", &request.place, 1..=60),
        difficulty: v.word("difficulty", request.difficulty),
        assignees: assignees(v, &request.assignees),
        handle_due_at: v.time("handle_due_time", request.handle_due_time.as_ref()),
        policy_version: request.policy_version,
    }))
}

fn subject(v: &mut Violations, subject: Option<&blow::Subject>) -> GrievanceId {
    match subject {
        Some(blow::Subject::GrievanceId(id)) => GrievanceId(v.uuid("grievance_id", id)),
        Some(blow::Subject::BundleId(_)) => {
            v.add("bundle_id", "cannot be whistled yet: name a grievance");
            GrievanceId(Uuid::nil())
        }
        None => GrievanceId(v.uuid("grievance_id", "")),
    }
}

fn assignees(v: &mut Violations, asked: &[blow::Assignee]) -> Vec<Assignee> {
    let parsed = v.list("assignees", asked, 1..=20, |v, path, one| Assignee {
        unit: UnitId(v.uuid(&format!("{path}.unit_id"), &one.unit_id)),
        role: v.word(&format!("{path}.role"), one.role),
        assignment: AssignmentId(id::new()),
        ladder: LadderId(id::new()),
    });
    let units: BTreeSet<_> = parsed.iter().map(|one| one.unit).collect();
    v.require(units.len() == parsed.len(), "assignees", "must name each unit once");
    let leads = parsed.iter().filter(|one| one.role == Role::Lead).count();
    v.require(leads == 1 || asked.iter().any(|one| one.role == 0), "assignees", "must name exactly one lead");
    parsed
}

/// The unit answers.
pub fn answer(v: &mut Violations, request: &v1::AnswerAssignmentRequest) -> Command {
    Command::Answer {
        assignment: assignment_id(v, &request.assignment_id),
        ladder: LadderId(id::new()),
        responsible_person: v.text("responsible_person", &request.responsible_person, 1..=50),
    }
}

/// The unit hands in.
pub fn submit(v: &mut Violations, request: &v1::SubmitAssignmentRequest) -> Command {
    Command::Submit {
        assignment: assignment_id(v, &request.assignment_id),
        result: v.text("result", &request.result, 1..=2000),
        evidence: v.list("evidence", &request.evidence, 1..=9, |v, path, piece| Evidence {
            photo_id: v.uuid(&format!("{path}.photo_id"), &piece.photo_id),
            place: v.text(&format!("{path}.place"), &piece.place, 1..=200),
            captured_at: v.time(&format!("{path}.capture_time"), piece.capture_time.as_ref()),
        }),
    }
}

/// The street confirms.
pub fn confirm(v: &mut Violations, request: &v1::ConfirmAssignmentRequest) -> Command {
    Command::Confirm { assignment: assignment_id(v, &request.assignment_id) }
}

/// The street takes back.
pub fn withdraw(v: &mut Violations, request: &v1::WithdrawWhistleRequest) -> Command {
    Command::Withdraw {
        whistle: WhistleId(v.uuid("whistle_id", &request.whistle_id)),
        reason: v.text("reason", &request.reason, 1..=500),
    }
}

/// The centre annuls a card.
pub fn annul_card(v: &mut Violations, request: &v1::AnnulCardRequest) -> Command {
    Command::AnnulCard {
        assignment: assignment_id(v, &request.assignment_id),
        ladder: LadderId(v.uuid("ladder_id", &request.ladder_id)),
        rung: request.rung,
        reason: v.text("reason", &request.reason, 1..=500),
    }
}

fn assignment_id(v: &mut Violations, id: &str) -> AssignmentId {
    AssignmentId(v.uuid("assignment_id", id))
}

/// Which whistle.
pub fn key(v: &mut Violations, request: &v1::GetWhistleRequest) -> WhistleId {
    WhistleId(v.uuid("whistle_id", &request.whistle_id))
}

/// Of which area and state, and which page.
pub fn list(v: &mut Violations, request: &v1::ListWhistlesRequest) -> (String, Option<WhistleState>, Page<Uuid>) {
    let (area, state) = (v.area_if_set("area", &request.area), v.word_if_set("state", request.state));
    let page = Page::parse(v, request.page_size, &request.page_token, &("whistles", &area, state));
    (area, state, page)
}

/// Of which unit and state, and which page.
pub fn list_assignments(
    v: &mut Violations,
    request: &v1::ListAssignmentsRequest,
) -> (Option<Uuid>, Option<AssignmentState>, Page<Uuid>) {
    let unit = (!request.unit_id.is_empty()).then(|| v.uuid("unit_id", &request.unit_id));
    let state = v.word_if_set("state", request.state);
    let page = Page::parse(v, request.page_size, &request.page_token, &("assignments", unit, state));
    (unit, state, page)
}

/// What blowing answers.
pub fn blown(changed: &Changed) -> v1::BlowWhistleResponse {
    let assignments = changed.whistle.assignments.iter().map(|assignment| v1::BlownAssignment {
        assignment_id: assignment.id.to_string(),
        unit_id: assignment.unit.to_string(),
        ladder_id: assignment.ladders.first().map(|ladder| ladder.id.to_string()).unwrap_or_default(),
        state: assignment.state.number(),
    });
    v1::BlowWhistleResponse {
        whistle_id: changed.whistle.id.to_string(),
        version: changed.whistle.version,
        blow_time: Some(to_wire(changed.whistle.blown_at)),
        policy_version: changed.policy_version,
        assignments: assignments.collect(),
        missing_contacts: changed.missing.iter().map(missing).collect(),
    }
}

fn missing(missing: &Missing) -> v1::MissingContact {
    let unit_id = missing.unit.map(|unit| unit.to_string()).unwrap_or_default();
    v1::MissingContact { unit_id, role: missing.role.number() }
}

/// What a command on an assignment answers.
pub fn assignment_status(changed: &Changed) -> v1::AssignmentStatus {
    let named = changed.whistle.assignments.iter().find(|one| changed.key == Key::Assignment(one.id));
    v1::AssignmentStatus {
        assignment_id: named.map(|one| one.id.to_string()).unwrap_or_default(),
        whistle_id: changed.whistle.id.to_string(),
        state: number(named.map(|one| one.state)),
        version: changed.whistle.version,
        update_time: Some(to_wire(changed.at)),
    }
}

/// What a command on a whistle answers.
pub fn whistle_status(changed: &Changed) -> v1::WhistleStatus {
    v1::WhistleStatus {
        whistle_id: changed.whistle.id.to_string(),
        state: changed.whistle.state.number(),
        version: changed.whistle.version,
        update_time: Some(to_wire(changed.at)),
    }
}

/// A whistle as a screen shows one.
pub fn shown((row, assignments): Whole) -> v1::Whistle {
    v1::Whistle {
        whistle_id: row.id.to_string(),
        subject: Some(v1::whistle::Subject::GrievanceId(row.grievance_id.to_string())),
        area: row.area,
        matter: row.matter,
        title: row.title,
        place: row.place,
        difficulty: row.difficulty.number(),
        state: row.state.number(),
        blow_time: Some(to_wire(row.blown_at)),
        policy_version: row.policy_version,
        handle_due_time: Some(to_wire(row.handle_due_at)),
        withdraw_reason: row.withdraw_reason.unwrap_or_default(),
        assignments: assignments.into_iter().map(assignment).collect(),
        version: row.version,
    }
}

/// An assignment as a screen shows one.
pub fn assignment(Assignment { row, ladders }: Assignment) -> v1::Assignment {
    let evidence = row.evidence.map(|evidence| evidence.0).unwrap_or_default().into_iter().map(|piece| v1::Evidence {
        photo_id: piece.photo_id.to_string(),
        place: piece.place,
        capture_time: Some(to_wire(piece.captured_at)),
    });
    v1::Assignment {
        assignment_id: row.id.to_string(),
        whistle_id: row.whistle_id.to_string(),
        unit_id: row.unit_id.to_string(),
        unit_name: row.unit_name,
        role: row.role.number(),
        state: row.state.number(),
        responsible_person: row.responsible_person.unwrap_or_default(),
        answer_time: row.answered_at.map(to_wire),
        result: row.result.unwrap_or_default(),
        evidence: evidence.collect(),
        submit_time: row.submitted_at.map(to_wire),
        outcome: number(row.outcome),
        close_time: row.closed_at.map(to_wire),
        answer_due_time: answer_due(&ladders).map(to_wire),
        handle_due_time: Some(to_wire(handle_due(&ladders).unwrap_or(row.handle_due_at))),
        ladders: ladders.iter().map(ladder).collect(),
    }
}

/// When the first card of the answer ladder is due.
fn answer_due(ladders: &[Ladder]) -> Option<Timestamp> {
    let answer = ladders.iter().find(|ladder| ladder.kind == Kind::Answer)?;
    answer.rungs.iter().find(|rung| rung.card.is_some()).map(|rung| rung.due_at)
}

/// The deadline that the newest handling ladder guards.
fn handle_due(ladders: &[Ladder]) -> Option<Timestamp> {
    ladders.iter().rfind(|ladder| ladder.kind == Kind::Handling).map(|ladder| ladder.started_at)
}

fn ladder(ladder: &Ladder) -> v1::Ladder {
    v1::Ladder {
        ladder_id: ladder.id.to_string(),
        ordinal: ladder.ordinal,
        kind: ladder.kind.number(),
        generation: ladder.generation,
        start_time: Some(to_wire(ladder.started_at)),
        stop_time: ladder.stopped_at.map(to_wire),
        rungs: ladder.rungs.iter().map(|one| rung(one, ladder)).collect(),
    }
}

fn rung(rung: &Rung, ladder: &Ladder) -> v1::Rung {
    let state = match (rung.fired_at, ladder.stopped_at) {
        (Some(_), _) => v1::RungState::Fired,
        (None, Some(stopped)) if rung.due_at > stopped => v1::RungState::Void,
        (None, Some(_) | None) => v1::RungState::Pending,
    };
    v1::Rung {
        rung: rung.number,
        due_time: Some(to_wire(rung.due_at)),
        state: state.into(),
        fire_time: rung.fired_at.map(to_wire),
        late_by_ms: rung.fired_at.map_or(0, |fired| (fired - rung.due_at).num_milliseconds()),
        platform_fault: rung.platform_fault,
        card: number(rung.card.filter(|_| rung.fired_at.is_some())),
        annul_reason: rung.annul_reason.clone().unwrap_or_default(),
    }
}
