//! Parse, one operation or one view, answer.

mod resident;

use foundation::call::{Calls, MESSAGE_LIMIT, Server};
use proto::residents::v1::resident_service_server::ResidentServiceServer;

/// Every call that residents answers.
pub fn serve(server: Server, calls: Calls) -> Server {
    let residents = ResidentServiceServer::new(resident::Residents { calls });
    server.service(residents.max_decoding_message_size(MESSAGE_LIMIT))
}
