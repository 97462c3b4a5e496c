//! Parse, one operation or one view, answer.

mod directory;
mod policy;
mod whistle;

use foundation::call::{Calls, MESSAGE_LIMIT, Server};
use foundation::log::Feed;
use proto::dispatch::v1::directory_service_server::DirectoryServiceServer;
use proto::dispatch::v1::policy_service_server::PolicyServiceServer;
use proto::dispatch::v1::whistle_service_server::WhistleServiceServer;

/// Every call that dispatch answers.
pub fn serve(server: Server, calls: Calls, feed: Feed) -> Server {
    let whistles = WhistleServiceServer::new(whistle::Whistles { calls: calls.clone(), feed });
    let directory = DirectoryServiceServer::new(directory::Directory { calls: calls.clone() });
    let policies = PolicyServiceServer::new(policy::Policies { calls });
    server
        .service(whistles.max_decoding_message_size(MESSAGE_LIMIT))
        .service(directory.max_decoding_message_size(MESSAGE_LIMIT))
        .service(policies.max_decoding_message_size(MESSAGE_LIMIT))
}
