//! Residents.

use foundation::call::{Answer, Call, Calls};
use proto::residents::v1;
use proto::residents::v1::resident_service_server::ResidentService;
use tonic::{Request, Response};

use crate::operations::resident::run;
use crate::{views, wire};

/// Answers for `ResidentService`.
pub struct Residents {
    pub calls: Calls,
}

#[tonic::async_trait]
impl ResidentService for Residents {
    async fn register_resident(
        &self,
        request: Request<v1::RegisterResidentRequest>,
    ) -> Answer<v1::RegisterResidentResponse> {
        self.calls.command(request, wire::resident::register, run, wire::resident::registered).await
    }

    async fn get_resident(&self, request: Request<v1::GetResidentRequest>) -> Answer<v1::Resident> {
        let call = Call::of(request)?;
        let id = call.parse(wire::resident::key)?;
        let row = views::resident::get(&mut *self.calls.reading().await?, call.scope(), id).await?;
        Ok(Response::new(wire::resident::shown(row)))
    }

    async fn list_residents(&self, request: Request<v1::ListResidentsRequest>) -> Answer<v1::ListResidentsResponse> {
        let call = Call::of(request)?;
        let (area, page) = call.parse(wire::resident::list)?;
        let rows = views::resident::list(&mut *self.calls.reading().await?, call.scope(), &area, &page).await?;
        let next_page_token = page.next(&rows, |row| row.id);
        let residents = rows.into_iter().map(wire::resident::shown).collect();
        Ok(Response::new(v1::ListResidentsResponse { residents, next_page_token }))
    }
}
