//! Parse, one operation or one view, answer. Also the page behind the link in a reminder.

mod alarm;
mod call_task;
mod link;
mod message;
mod page;

use foundation::call::{Calls, MESSAGE_LIMIT, Server};
use proto::notifications::v1::alarm_service_server::AlarmServiceServer;
use proto::notifications::v1::answer_link_service_server::AnswerLinkServiceServer;
use proto::notifications::v1::call_task_service_server::CallTaskServiceServer;
use proto::notifications::v1::message_service_server::MessageServiceServer;

use crate::operations::link::Answering;

/// Every call that notifications answers.
pub fn serve(server: Server, calls: Calls, answering: Answering) -> Server {
    let messages = MessageServiceServer::new(message::Messages { calls: calls.clone() });
    let call_tasks = CallTaskServiceServer::new(call_task::CallTasks { calls: calls.clone() });
    let alarms = AlarmServiceServer::new(alarm::Alarms { calls });
    let links = AnswerLinkServiceServer::new(link::Links { answering: answering.clone() });
    server
        .service(messages.max_decoding_message_size(MESSAGE_LIMIT))
        .service(call_tasks.max_decoding_message_size(MESSAGE_LIMIT))
        .service(alarms.max_decoding_message_size(MESSAGE_LIMIT))
        .service(links.max_decoding_message_size(MESSAGE_LIMIT))
        .pages(page::router(answering))
}
