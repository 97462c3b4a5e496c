//! The directory.

use foundation::call::status::internal;
use foundation::call::{Answer, Call, Calls};
use proto::dispatch::v1;
use proto::dispatch::v1::directory_service_server::DirectoryService;
use tonic::{Request, Response};

use crate::operations::directory::run;
use crate::views::directory as views;
use crate::wire::directory as wire;

/// Answers for `DirectoryService`.
pub struct Directory {
    pub calls: Calls,
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn put_unit(&self, request: Request<v1::PutUnitRequest>) -> Answer<v1::PutUnitResponse> {
        self.calls.command(request, wire::put_unit, run, wire::unit_put).await
    }

    async fn get_unit(&self, request: Request<v1::GetUnitRequest>) -> Answer<v1::Unit> {
        let call = Call::of(request)?;
        let id = call.parse(wire::unit_key)?;
        let unit = views::unit(&mut *self.calls.reading().await?, call.scope(), id).await?;
        Ok(Response::new(wire::unit(unit)))
    }

    async fn list_units(&self, request: Request<v1::ListUnitsRequest>) -> Answer<v1::ListUnitsResponse> {
        let call = Call::of(request)?;
        let page = call.parse(wire::units)?;
        let units = views::units(&mut *self.calls.reading().await?, call.scope(), &page).await?;
        let next_page_token = page.next(&units, |unit| unit.id);
        let units = units.into_iter().map(wire::unit).collect();
        Ok(Response::new(v1::ListUnitsResponse { units, next_page_token }))
    }

    async fn put_deputy_mayor(
        &self,
        request: Request<v1::PutDeputyMayorRequest>,
    ) -> Answer<v1::PutDeputyMayorResponse> {
        self.calls.command(request, wire::put_deputy_mayor, run, wire::deputy_mayor_put).await
    }

    async fn audit_contacts(&self, request: Request<v1::AuditContactsRequest>) -> Answer<v1::AuditContactsResponse> {
        let call = Call::of(request)?;
        let page = call.parse(wire::gaps)?;
        let gaps = views::gaps(&mut *self.calls.reading().await?, call.scope(), &page).await?;
        let next_page_token = page.next(&gaps, |gap| gap.id);
        let gaps = gaps.into_iter().map(wire::gap).collect();
        Ok(Response::new(v1::AuditContactsResponse { gaps, next_page_token }))
    }

    async fn resolve_target(&self, request: Request<v1::ResolveTargetRequest>) -> Answer<v1::ResolveTargetResponse> {
        let call = Call::of(request)?;
        let key = call.parse(wire::target)?;
        // A reminder on its way out does not queue behind callers, however many of them have waited for the server to come back.
        let mut connection = self.calls.db.work().acquire().await.map_err(internal)?;
        let resolved = views::resolve(&mut connection, call.scope(), key).await?;
        let dials = call.context().is_service("notifications");
        Ok(Response::new(wire::resolved(key.2, resolved, dials)))
    }
}
