//! Who asks, parse, one operation, answer.

use foundation::auth;
use foundation::page::Page;
use foundation::rpc::{MESSAGE_LIMIT, Server, Violations, internal, once};
use proto::oversight::v1 as wire;
use proto::oversight::v1::case_service_server::{CaseService, CaseServiceServer};
use tonic::{Request, Response, Status};

use crate::domain::State;
use crate::operations::{self, Operations};
use crate::views;

/// Every call that oversight answers.
pub fn serve(server: Server, operations: &Operations) -> Server {
    server.service(CaseServiceServer::new(Cases(operations.clone())).max_decoding_message_size(MESSAGE_LIMIT))
}

struct Cases(Operations);

#[tonic::async_trait]
impl CaseService for Cases {
    async fn get_case(&self, request: Request<wire::GetCaseRequest>) -> Result<Response<wire::Case>, Status> {
        let mut violations = Violations::default();
        let id = violations.uuid("case_id", &request.into_inner().case_id);
        violations.finish()?;
        let mut connection = self.0.db.rpc().acquire().await.map_err(internal)?;
        Ok(Response::new(views::case(&mut connection, id).await?))
    }

    async fn list_cases(
        &self,
        request: Request<wire::ListCasesRequest>,
    ) -> Result<Response<wire::ListCasesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        let state = state(&mut violations, request.state);
        violations.finish()?;
        let mut connection = self.0.db.rpc().acquire().await.map_err(internal)?;
        let rows = views::cases(&mut connection, None, state, page.before, page.size).await?;
        let next_page_token = page.next(rows.iter().map(|(list_id, _)| *list_id));
        let cases = rows.into_iter().map(|(_, case)| case).collect();
        Ok(Response::new(wire::ListCasesResponse { cases, next_page_token }))
    }

    async fn release_case(&self, request: Request<wire::ReleaseCaseRequest>) -> Result<Response<wire::Case>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = violations.uuid("case_id", &request.case_id);
        violations.finish()?;
        let db = &self.0.db;
        once(db, &caller, "ReleaseCase", &request, move |tx| Box::pin(async move { operations::release(tx, id).await }))
            .await
    }
}

fn state(violations: &mut Violations, value: i32) -> Option<State> {
    match wire::CaseState::try_from(value) {
        Ok(wire::CaseState::Unspecified) => None,
        Ok(wire::CaseState::Held) => Some(State::Held),
        Ok(wire::CaseState::Pending) => Some(State::Pending),
        Ok(wire::CaseState::Pushed) => Some(State::Pushed),
        Ok(wire::CaseState::Drill) => Some(State::Drill),
        Err(_) => {
            violations.add("state", "must be a case state");
            None
        }
    }
}
