//! Whistles and assignments over gRPC.

use std::collections::BTreeSet;

use foundation::auth::{self, Belongs};
use foundation::db::Db;
use foundation::page::Page;
use foundation::rpc::{Violations, internal, once};
use proto::common::v1 as common;
use proto::dispatch::v1 as wire;
use proto::dispatch::v1::whistle_service_server::WhistleService;
use tonic::{Request, Response, Status};

use crate::domain::whistle::{Share, State};
use crate::domain::{AssignmentId, Difficulty, GrievanceId, LadderId, Role, UnitId, WhistleId};
use crate::operations::blow::Blow;
use crate::{operations, views};

/// Answers for `WhistleService`.
pub struct Whistles {
    pub db: Db,
}

#[tonic::async_trait]
impl WhistleService for Whistles {
    async fn blow_whistle(
        &self,
        request: Request<wire::BlowWhistleRequest>,
    ) -> Result<Response<wire::BlowWhistleResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let (blow, who) = (parse_blow(&request)?, caller.clone());
        once(&self.db, &caller, "BlowWhistle", &request, move |tx| {
            Box::pin(async move { operations::blow::blow(tx, &who, blow).await })
        })
        .await
    }

    async fn get_whistle(&self, request: Request<wire::GetWhistleRequest>) -> Result<Response<wire::Whistle>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = WhistleId(violations.uuid("whistle_id", &request.whistle_id));
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let (area, units) = views::belongs(&mut connection, id).await?;
        if !caller.may(Belongs { area: Some(&area), units: &units, ..Belongs::default() }) {
            return Err(Status::not_found(format!("no whistle {id}")));
        }
        let mut whistle = views::whistle(&mut connection, id).await?;
        // Whoever is here for a unit alone sees that unit's share, and nothing of the others'.
        if !caller.may(Belongs { area: Some(&area), ..Belongs::default() }) {
            let own = caller.unit.map(|unit| unit.to_string());
            whistle.assignments.retain(|share| own.as_ref() == Some(&share.unit_id));
        }
        Ok(Response::new(whistle))
    }

    async fn list_whistles(
        &self,
        request: Request<wire::ListWhistlesRequest>,
    ) -> Result<Response<wire::ListWhistlesResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        let state = whistle_state(&mut violations, request.state);
        violations.finish()?;
        let area = caller.list_area(&request.area)?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let ids = views::whistle_ids(&mut connection, &area, state, page.before, page.size).await.map_err(internal)?;
        let next_page_token = page.next(ids.iter().copied());
        let whistles = views::whistles(&mut connection, &ids).await?;
        Ok(Response::new(wire::ListWhistlesResponse { whistles, next_page_token }))
    }

    async fn list_assignments(
        &self,
        request: Request<wire::ListAssignmentsRequest>,
    ) -> Result<Response<wire::ListAssignmentsResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        let state = share(&mut violations, request.state);
        let unit = match (request.unit_id.as_str(), caller.unit) {
            ("", Some(own)) => own,
            (asked, _) => violations.uuid("unit_id", asked),
        };
        violations.finish()?;
        if !caller.may(Belongs { units: &[unit], ..Belongs::default() }) {
            return Err(Status::not_found(format!("no unit {unit}")));
        }
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let ids =
            views::assignment_ids(&mut connection, unit, state, page.before, page.size).await.map_err(internal)?;
        let next_page_token = page.next(ids.iter().copied());
        let mut assignments = views::assignments(&mut connection, &ids).await?;
        assignments.reverse();
        Ok(Response::new(wire::ListAssignmentsResponse { assignments, next_page_token }))
    }

    async fn answer_assignment(
        &self,
        request: Request<wire::AnswerAssignmentRequest>,
    ) -> Result<Response<wire::Assignment>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = AssignmentId(violations.uuid("assignment_id", &request.assignment_id));
        let responsible = violations.text("responsible_person", &request.responsible_person, 1..=50);
        violations.finish()?;
        let who = caller.clone();
        once(&self.db, &caller, "AnswerAssignment", &request, move |tx| {
            Box::pin(async move { operations::answer(tx, &who, id, &responsible).await })
        })
        .await
    }

    async fn submit_assignment(
        &self,
        request: Request<wire::SubmitAssignmentRequest>,
    ) -> Result<Response<wire::Assignment>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = AssignmentId(violations.uuid("assignment_id", &request.assignment_id));
        let result = violations.text("result", &request.result, 1..=2000);
        let evidence = evidence(&mut violations, &request.evidence);
        violations.finish()?;
        let who = caller.clone();
        once(&self.db, &caller, "SubmitAssignment", &request, move |tx| {
            Box::pin(async move { operations::submit(tx, &who, id, &result, &evidence).await })
        })
        .await
    }

    async fn confirm_assignment(
        &self,
        request: Request<wire::ConfirmAssignmentRequest>,
    ) -> Result<Response<wire::Assignment>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = AssignmentId(violations.uuid("assignment_id", &request.assignment_id));
        violations.finish()?;
        let who = caller.clone();
        once(&self.db, &caller, "ConfirmAssignment", &request, move |tx| {
            Box::pin(async move { operations::confirm(tx, &who, id).await })
        })
        .await
    }

    async fn withdraw_whistle(
        &self,
        request: Request<wire::WithdrawWhistleRequest>,
    ) -> Result<Response<wire::Whistle>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = WhistleId(violations.uuid("whistle_id", &request.whistle_id));
        let reason = violations.text("reason", &request.reason, 1..=500);
        violations.finish()?;
        let who = caller.clone();
        once(&self.db, &caller, "WithdrawWhistle", &request, move |tx| {
            Box::pin(async move { operations::withdraw(tx, &who, id, &reason).await })
        })
        .await
    }

    async fn annul_card(&self, request: Request<wire::AnnulCardRequest>) -> Result<Response<wire::Assignment>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = AssignmentId(violations.uuid("assignment_id", &request.assignment_id));
        let rung = (LadderId(violations.uuid("ladder_id", &request.ladder_id)), request.rung);
        let reason = violations.text("reason", &request.reason, 1..=500);
        violations.finish()?;
        let who = caller.clone();
        once(&self.db, &caller, "AnnulCard", &request, move |tx| {
            Box::pin(async move { operations::annul_card(tx, &who, id, rung, &reason).await })
        })
        .await
    }
}

fn parse_blow(request: &wire::BlowWhistleRequest) -> Result<Blow, Status> {
    let mut violations = Violations::default();
    let v = &mut violations;
    let blow = Blow {
        grievance: GrievanceId(v.uuid("grievance_id", &request.grievance_id)),
        area: v.area("area", &request.area),
        matter: v.text("matter", &request.matter, 1..=50),
        title: v.text("title", &request.title, 1..=40),
        place: v.text("place", &request.place, 1..=60),
        difficulty: difficulty(v, request.difficulty),
        calls: calls(v, &request.calls),
        handle_by: v.time("handle_by", request.handle_by.as_ref()),
        policy: request.policy_version,
    };
    violations.require(request.policy_version >= 0, "policy_version", "must be a version, or 0 for the newest");
    violations.finish()?;
    Ok(blow)
}

fn calls(violations: &mut Violations, calls: &[wire::blow_whistle_request::Call]) -> Vec<(UnitId, Role)> {
    violations.require((1..=20).contains(&calls.len()), "calls", "must name 1 to 20 units");
    let mut parsed = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let unit = UnitId(violations.uuid(&format!("calls[{index}].unit_id"), &call.unit_id));
        let role = match call.role() {
            common::AssignmentRole::Lead => Role::Lead,
            common::AssignmentRole::Supporting => Role::Supporting,
            common::AssignmentRole::Unspecified => {
                violations.add(format!("calls[{index}].role"), "must be LEAD or SUPPORTING");
                Role::Supporting
            }
        };
        parsed.push((unit, role));
    }
    let units: BTreeSet<_> = parsed.iter().map(|(unit, _)| unit).collect();
    violations.require(units.len() == parsed.len(), "calls", "must name each unit once");
    let leads = parsed.iter().filter(|(_, role)| *role == Role::Lead).count();
    violations.require(leads == 1, "calls", "must name exactly one lead");
    parsed
}

fn difficulty(violations: &mut Violations, value: i32) -> Difficulty {
    match common::Difficulty::try_from(value) {
        Ok(common::Difficulty::Complex) => Difficulty::Complex,
        Ok(common::Difficulty::Long) => Difficulty::Long,
        Ok(common::Difficulty::Hard) => Difficulty::Hard,
        Ok(common::Difficulty::Unspecified | common::Difficulty::Simple | common::Difficulty::Neighbourly) | Err(_) => {
            violations.add("difficulty", "must be COMPLEX, LONG or HARD: the others need no whistle");
            Difficulty::Complex
        }
    }
}

fn evidence(violations: &mut Violations, evidence: &[wire::Evidence]) -> serde_json::Value {
    violations.require((1..=9).contains(&evidence.len()), "evidence", "must be 1 to 9 pieces");
    let mut stored = Vec::with_capacity(evidence.len());
    for (index, piece) in evidence.iter().enumerate() {
        let field = |name: &str| format!("evidence[{index}].{name}");
        stored.push(serde_json::json!({
            "photo_id": violations.uuid(&field("photo_id"), &piece.photo_id),
            "place": violations.text(&field("place"), &piece.place, 1..=200),
            "time": violations.time(&field("time"), piece.time.as_ref()),
        }));
    }
    stored.into()
}

fn whistle_state(violations: &mut Violations, value: i32) -> Option<State> {
    match wire::WhistleState::try_from(value) {
        Ok(wire::WhistleState::Unspecified) => None,
        Ok(wire::WhistleState::Open) => Some(State::Open),
        Ok(wire::WhistleState::Closed) => Some(State::Closed),
        Ok(wire::WhistleState::Withdrawn) => Some(State::Withdrawn),
        Err(_) => {
            violations.add("state", "must be a whistle state");
            None
        }
    }
}

fn share(violations: &mut Violations, value: i32) -> Option<Share> {
    match wire::AssignmentState::try_from(value) {
        Ok(wire::AssignmentState::Unspecified) => None,
        Ok(wire::AssignmentState::Whistled) => Some(Share::Whistled),
        Ok(wire::AssignmentState::Answered) => Some(Share::Answered),
        Ok(wire::AssignmentState::Submitted) => Some(Share::Submitted),
        Ok(wire::AssignmentState::Closed) => Some(Share::Closed),
        Ok(wire::AssignmentState::Withdrawn) => Some(Share::Withdrawn),
        Err(_) => {
            violations.add("state", "must be an assignment state");
            None
        }
    }
}
