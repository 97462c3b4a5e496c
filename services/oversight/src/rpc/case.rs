//! Cases.

use foundation::call::{Answer, Call, Calls};
use proto::oversight::v1;
use proto::oversight::v1::case_service_server::CaseService;
use tonic::{Request, Response};

use crate::operations::case::run;
use crate::views;
use crate::wire::case as wire;

/// Answers for `CaseService`.
pub struct Cases {
    pub calls: Calls,
}

#[tonic::async_trait]
impl CaseService for Cases {
    async fn get_case(&self, request: Request<v1::GetCaseRequest>) -> Answer<v1::Case> {
        let call = Call::of(request)?;
        let id = call.parse(wire::key)?;
        let whole = views::case::get(&mut *self.calls.reading().await?, call.scope(), id).await?;
        Ok(Response::new(wire::shown(whole)))
    }

    async fn list_cases(&self, request: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
        let call = Call::of(request)?;
        let (state, page) = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::case::list(&mut connection, call.scope(), state, &page).await?;
        let next_page_token = page.next(&rows, |whole| whole.case.list_id);
        let cases = rows.into_iter().map(wire::shown).collect();
        Ok(Response::new(v1::ListCasesResponse { cases, next_page_token }))
    }

    async fn release_case(&self, request: Request<v1::ReleaseCaseRequest>) -> Answer<v1::CaseStatus> {
        self.calls.command(request, wire::release, run, wire::status).await
    }
}
