//! The directory over gRPC.

use std::collections::BTreeSet;

use foundation::auth::{self, Belongs};
use foundation::db::Db;
use foundation::page::Page;
use foundation::rpc::{Violations, internal, once};
use proto::dispatch::v1 as wire;
use proto::dispatch::v1::directory_service_server::DirectoryService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::target;
use crate::domain::directory::is_phone;
use crate::domain::{AssignmentId, LadderId, Target, UnitId};
use crate::operations::directory as operations;
use crate::store::directory::{Contact, Unit};
use crate::views::directory as views;

/// Answers for `DirectoryService`.
pub struct Directory {
    pub db: Db,
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn put_unit(&self, request: Request<wire::PutUnitRequest>) -> Result<Response<wire::Unit>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let unit = parse_unit(&mut violations, request.unit.clone());
        violations.finish()?;
        once(&self.db, &caller, "PutUnit", &request, move |tx| {
            Box::pin(async move { operations::put_unit(tx, &unit).await })
        })
        .await
    }

    async fn get_unit(&self, request: Request<wire::GetUnitRequest>) -> Result<Response<wire::Unit>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = violations.uuid("unit_id", &request.unit_id);
        violations.finish()?;
        if !caller.may(Belongs { units: &[id], ..Belongs::default() }) {
            return Err(Status::not_found(format!("no unit {id}")));
        }
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        Ok(Response::new(views::unit(&mut connection, UnitId(id)).await?))
    }

    async fn list_units(
        &self,
        request: Request<wire::ListUnitsRequest>,
    ) -> Result<Response<wire::ListUnitsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let units = views::units(&mut connection, None, page.before, page.size).await?;
        let next_page_token = page.next(units.iter().map(|unit| id_of(&unit.unit_id)));
        Ok(Response::new(wire::ListUnitsResponse { units, next_page_token }))
    }

    async fn put_deputy_mayor(
        &self,
        request: Request<wire::PutDeputyMayorRequest>,
    ) -> Result<Response<wire::DeputyMayor>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let mayor = violations.part("deputy_mayor", request.deputy_mayor.clone());
        let matter = violations.text("deputy_mayor.matter", &mayor.matter, 1..=50);
        let name = violations.text("deputy_mayor.name", &mayor.name, 1..=50);
        violations.require(is_phone(&mayor.phone), "deputy_mayor.phone", PHONE);
        violations.finish()?;
        once(&self.db, &caller, "PutDeputyMayor", &request, move |tx| {
            Box::pin(async move { operations::put_deputy_mayor(tx, &matter, &name, &mayor.phone).await })
        })
        .await
    }

    async fn audit_contacts(
        &self,
        request: Request<wire::AuditContactsRequest>,
    ) -> Result<Response<wire::AuditContactsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let gaps = views::gaps(&mut connection, page.before, page.size).await?;
        let next_page_token = page.next(gaps.iter().map(|gap| id_of(&gap.unit_id)));
        Ok(Response::new(wire::AuditContactsResponse { gaps, next_page_token }))
    }

    async fn resolve_target(
        &self,
        request: Request<wire::ResolveTargetRequest>,
    ) -> Result<Response<wire::ResolveTargetResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let assignment = AssignmentId(violations.uuid("assignment_id", &request.assignment_id));
        let ladder = LadderId(violations.uuid("ladder_id", &request.ladder_id));
        let role = target(&mut violations, "target", request.target);
        violations.finish()?;
        // A reminder on its way out does not queue behind callers, however many of them have waited for the server to come back.
        let mut connection = self.db.work().acquire().await.map_err(internal)?;
        let mut resolved = views::resolve(&mut connection, assignment, ladder, role).await?;
        // Numbers in clear are for whoever dials and texts them.
        resolved.contact = resolved.contact.filter(|_| caller.subject == "notifications");
        Ok(Response::new(resolved))
    }
}

const PHONE: &str = "must be a mobile number of 11 digits or a landline with area code";

fn parse_unit(violations: &mut Violations, unit: Option<wire::Unit>) -> Unit {
    let unit = violations.part("unit", unit);
    let id = UnitId(violations.uuid("unit.unit_id", &unit.unit_id));
    let name = violations.text("unit.name", &unit.name, 1..=60);
    let mut contacts = Vec::with_capacity(unit.contacts.len());
    for (index, contact) in unit.contacts.iter().enumerate() {
        let field = |name: &str| format!("unit.contacts[{index}].{name}");
        let role = target(violations, &field("role"), contact.role);
        let of_unit = matches!(role, Target::Duty | Target::Head | Target::Deputy);
        violations.require(of_unit, &field("role"), "must be DUTY, HEAD or DEPUTY");
        violations.require(is_phone(&contact.phone), &field("phone"), PHONE);
        let name = violations.text(&field("name"), &contact.name, 1..=50);
        contacts.push(Contact { role, name, phone: contact.phone.clone() });
    }
    let roles: BTreeSet<_> = contacts.iter().map(|contact| contact.role).collect();
    violations.require(roles.len() == contacts.len(), "unit.contacts", "must name each role at most once");
    Unit { id, name, contacts }
}

fn id_of(shown: &str) -> Uuid {
    shown.parse().unwrap_or_default()
}
