//! Call tasks.

use foundation::call::status::internal;
use foundation::call::{Answer, Call, Calls};
use proto::notifications::v1;
use proto::notifications::v1::call_task_service_server::CallTaskService;
use tonic::{Request, Response};

use crate::operations::call_task::run;
use crate::views;
use crate::wire::call_task as wire;

/// Answers for `CallTaskService`.
pub struct CallTasks {
    pub calls: Calls,
}

#[tonic::async_trait]
impl CallTaskService for CallTasks {
    async fn list_call_tasks(&self, request: Request<v1::ListCallTasksRequest>) -> Answer<v1::ListCallTasksResponse> {
        let call = Call::of(request)?;
        let (state, page) = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::call_task::list(&mut connection, call.scope(), state, &page).await.map_err(internal)?;
        let next_page_token = page.next(&rows, |row| row.list_id);
        let call_tasks = rows.into_iter().map(wire::shown).collect();
        Ok(Response::new(v1::ListCallTasksResponse { call_tasks, next_page_token }))
    }

    async fn record_call(&self, request: Request<v1::RecordCallRequest>) -> Answer<v1::CallTaskStatus> {
        self.calls.command(request, wire::record, run, wire::status).await
    }
}
