//! Who asks, parse, one operation, answer. Also the page behind the link in a reminder.

mod page;

use foundation::auth;
use foundation::page::Page;
use foundation::rpc::{MESSAGE_LIMIT, Server, Violations, internal, once};
use proto::notifications::v1 as wire;
use proto::notifications::v1::alarm_service_server::{AlarmService, AlarmServiceServer};
use proto::notifications::v1::answer_link_service_server::{AnswerLinkService, AnswerLinkServiceServer};
use proto::notifications::v1::call_task_service_server::{CallTaskService, CallTaskServiceServer};
use proto::notifications::v1::message_service_server::{MessageService, MessageServiceServer};
use tonic::{Request, Response, Status};

use crate::domain::Task;
use crate::operations::{Operations, calls};
use crate::views;

/// Every call that notifications answers.
pub fn serve(server: Server, operations: &Operations) -> Server {
    let handlers = Handlers(operations.clone());
    server
        .service(MessageServiceServer::new(handlers.clone()).max_decoding_message_size(MESSAGE_LIMIT))
        .service(CallTaskServiceServer::new(handlers.clone()).max_decoding_message_size(MESSAGE_LIMIT))
        .service(AlarmServiceServer::new(handlers.clone()).max_decoding_message_size(MESSAGE_LIMIT))
        .service(AnswerLinkServiceServer::new(handlers).max_decoding_message_size(MESSAGE_LIMIT))
        .pages(page::router(operations.clone()))
}

#[derive(Clone)]
struct Handlers(Operations);

#[tonic::async_trait]
impl MessageService for Handlers {
    async fn list_messages(
        &self,
        request: Request<wire::ListMessagesRequest>,
    ) -> Result<Response<wire::ListMessagesResponse>, Status> {
        let mut violations = Violations::default();
        let assignment = violations.uuid("assignment_id", &request.into_inner().assignment_id);
        violations.finish()?;
        let mut connection = self.0.db.rpc().acquire().await.map_err(internal)?;
        let messages = views::messages(&mut connection, assignment).await?;
        Ok(Response::new(wire::ListMessagesResponse { messages }))
    }
}

#[tonic::async_trait]
impl CallTaskService for Handlers {
    async fn list_call_tasks(
        &self,
        request: Request<wire::ListCallTasksRequest>,
    ) -> Result<Response<wire::ListCallTasksResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        let state = task(&mut violations, request.state);
        violations.finish()?;
        let mut connection = self.0.db.rpc().acquire().await.map_err(internal)?;
        let rows = views::call_tasks(&mut connection, None, state, page.before, page.size).await?;
        let next_page_token = page.next(rows.iter().map(|(list_id, _)| *list_id));
        let call_tasks = rows.into_iter().map(|(_, task)| task).collect();
        Ok(Response::new(wire::ListCallTasksResponse { call_tasks, next_page_token }))
    }

    async fn record_call(&self, request: Request<wire::RecordCallRequest>) -> Result<Response<wire::CallTask>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = violations.uuid("call_task_id", &request.call_task_id);
        let record = violations.part("record", request.record.clone());
        let name = violations.text("record.caller_name", &record.caller_name, 1..=50);
        let at = violations.time("record.call_time", record.call_time.as_ref());
        let said = violations.text("record.said", &record.said, 1..=1000);
        violations.finish()?;
        let db = &self.0.db;
        once(db, &caller, "RecordCall", &request, move |tx| {
            Box::pin(async move { calls::record(tx, id, &name, at, &said).await })
        })
        .await
    }
}

#[tonic::async_trait]
impl AlarmService for Handlers {
    async fn list_alarms(
        &self,
        request: Request<wire::ListAlarmsRequest>,
    ) -> Result<Response<wire::ListAlarmsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        violations.finish()?;
        let mut connection = self.0.db.rpc().acquire().await.map_err(internal)?;
        let rows = views::alarms(&mut connection, page.before, page.size).await?;
        let next_page_token = page.next(rows.iter().map(|(list_id, _)| *list_id));
        let alarms = rows.into_iter().map(|(_, alarm)| alarm).collect();
        Ok(Response::new(wire::ListAlarmsResponse { alarms, next_page_token }))
    }
}

#[tonic::async_trait]
impl AnswerLinkService for Handlers {
    async fn answer_by_link(
        &self,
        request: Request<wire::AnswerByLinkRequest>,
    ) -> Result<Response<wire::AnswerByLinkResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let token = violations.text("token", &request.token, 1..=100);
        let responsible = violations.text("responsible_person", &request.responsible_person, 1..=50);
        violations.finish()?;
        let answered = self.0.answer_by_link(&token, &responsible).await?;
        Ok(Response::new(wire::AnswerByLinkResponse {
            assignment_id: answered.assignment.to_string(),
            answer_time: Some(foundation::clock::to_wire(answered.at)),
        }))
    }
}

fn task(violations: &mut Violations, value: i32) -> Option<Task> {
    match wire::CallTaskState::try_from(value) {
        Ok(wire::CallTaskState::Unspecified) => None,
        Ok(wire::CallTaskState::Open) => Some(Task::Open),
        Ok(wire::CallTaskState::Recorded) => Some(Task::Recorded),
        Ok(wire::CallTaskState::Drill) => Some(Task::Drill),
        Err(_) => {
            violations.add("state", "must be a call task state");
            None
        }
    }
}
