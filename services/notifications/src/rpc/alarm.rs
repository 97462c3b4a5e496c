//! Alarms.

use foundation::call::status::internal;
use foundation::call::{Answer, Call, Calls};
use proto::notifications::v1;
use proto::notifications::v1::alarm_service_server::AlarmService;
use tonic::{Request, Response};

use crate::views;
use crate::wire::alarm as wire;

/// Answers for `AlarmService`.
pub struct Alarms {
    pub calls: Calls,
}

#[tonic::async_trait]
impl AlarmService for Alarms {
    async fn list_alarms(&self, request: Request<v1::ListAlarmsRequest>) -> Answer<v1::ListAlarmsResponse> {
        let call = Call::of(request)?;
        let page = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::alarm::list(&mut connection, call.scope(), &page).await.map_err(internal)?;
        let next_page_token = page.next(&rows, |row| row.list_id);
        let alarms = rows.into_iter().map(wire::shown).collect();
        Ok(Response::new(v1::ListAlarmsResponse { alarms, next_page_token }))
    }
}
