//! Parse, one operation or one view, answer.

mod grievance;

use foundation::call::{Calls, Server};
use foundation::log::Feed;
use proto::grievances::v1::grievance_service_server::GrievanceServiceServer;

use crate::domain::photo;
use crate::photo_store::Photos;

/// A photo at its limit, and some room for the rest of its message.
const LIMIT: usize = photo::MAX_BYTES + 64 * 1024;

/// Every call that grievances answers.
pub fn serve(server: Server, calls: Calls, feed: Feed, photos: Photos) -> Server {
    let service = GrievanceServiceServer::new(grievance::Grievances { calls, feed, photos });
    server.service(service.max_decoding_message_size(LIMIT)).message_limit(LIMIT)
}
