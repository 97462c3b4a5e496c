//! Parse, one operation or one view, answer.

mod case;

use foundation::call::{Calls, MESSAGE_LIMIT, Server};
use proto::oversight::v1::case_service_server::CaseServiceServer;

/// Every call that oversight answers.
pub fn serve(server: Server, calls: Calls) -> Server {
    server.service(CaseServiceServer::new(case::Cases { calls }).max_decoding_message_size(MESSAGE_LIMIT))
}
