//! Who asks, parse, one operation, answer.

use foundation::auth::{self, Belongs};
use foundation::db::Db;
use foundation::id;
use foundation::page::Page;
use foundation::rpc::{MESSAGE_LIMIT, Server, Violations, internal, once};
use proto::residents::v1 as wire;
use proto::residents::v1::resident_service_server::{ResidentService, ResidentServiceServer};
use tonic::{Request, Response, Status};

use crate::domain::Resident;
use crate::{operations, views};

/// Every call that residents answers.
pub fn serve(server: Server, db: &Db) -> Server {
    server.service(ResidentServiceServer::new(Residents { db: db.clone() }).max_decoding_message_size(MESSAGE_LIMIT))
}

struct Residents {
    db: Db,
}

#[tonic::async_trait]
impl ResidentService for Residents {
    async fn register_resident(
        &self,
        request: Request<wire::RegisterResidentRequest>,
    ) -> Result<Response<wire::Resident>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let area = violations.area("area", &request.area);
        let display_name = violations.text("display_name", &request.display_name, 1..=50);
        violations.finish()?;
        let (resident, who) = (Resident { id: id::new(), area, display_name }, caller.clone());
        once(&self.db, &caller, "RegisterResident", &request, move |tx| {
            Box::pin(async move { operations::register(tx, &who, &resident).await })
        })
        .await
    }

    async fn get_resident(
        &self,
        request: Request<wire::GetResidentRequest>,
    ) -> Result<Response<wire::Resident>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = violations.uuid("resident_id", &request.resident_id);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let resident = views::resident(&mut connection, id).await?;
        match caller.may(Belongs { area: Some(&resident.area), ..Belongs::default() }) {
            true => Ok(Response::new(resident)),
            false => Err(Status::not_found(format!("no resident {id}"))),
        }
    }

    async fn list_residents(
        &self,
        request: Request<wire::ListResidentsRequest>,
    ) -> Result<Response<wire::ListResidentsResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        violations.finish()?;
        let area = caller.list_area(&request.area)?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let rows = views::residents(&mut connection, &area, page.before, page.size).await.map_err(internal)?;
        let next_page_token = page.next(rows.iter().map(|(id, _)| *id));
        let residents = rows.into_iter().map(|(_, resident)| resident).collect();
        Ok(Response::new(wire::ListResidentsResponse { residents, next_page_token }))
    }
}
