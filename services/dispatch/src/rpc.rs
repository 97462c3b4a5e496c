//! Who asks, parse, one operation, answer.

mod directory;
mod policies;
mod whistles;

use foundation::db::Db;
use foundation::rpc::{MESSAGE_LIMIT, Server, Violations};
use proto::common::v1 as common;
use proto::dispatch::v1::directory_service_server::DirectoryServiceServer;
use proto::dispatch::v1::policy_service_server::PolicyServiceServer;
use proto::dispatch::v1::whistle_service_server::WhistleServiceServer;

use crate::domain::{Card, Target};

/// Every call that dispatch answers.
pub fn serve(server: Server, db: &Db) -> Server {
    let whistles = WhistleServiceServer::new(whistles::Whistles { db: db.clone() });
    let directory = DirectoryServiceServer::new(directory::Directory { db: db.clone() });
    let policies = PolicyServiceServer::new(policies::Policies { db: db.clone() });
    server
        .service(whistles.max_decoding_message_size(MESSAGE_LIMIT))
        .service(directory.max_decoding_message_size(MESSAGE_LIMIT))
        .service(policies.max_decoding_message_size(MESSAGE_LIMIT))
}

fn target(violations: &mut Violations, field: &str, value: i32) -> Target {
    match common::TargetRole::try_from(value) {
        Ok(common::TargetRole::Duty) => Target::Duty,
        Ok(common::TargetRole::Head) => Target::Head,
        Ok(common::TargetRole::Deputy) => Target::Deputy,
        Ok(common::TargetRole::DeputyMayor) => Target::DeputyMayor,
        Ok(common::TargetRole::CentreHead) => Target::CentreHead,
        Ok(common::TargetRole::OversightPlatform) => Target::OversightPlatform,
        Ok(common::TargetRole::Unspecified) | Err(_) => {
            violations.add(field, "must be a target role");
            Target::Duty
        }
    }
}

fn card(violations: &mut Violations, field: &str, value: i32) -> Option<Card> {
    match common::Card::try_from(value) {
        Ok(common::Card::Yellow) => Some(Card::Yellow),
        Ok(common::Card::Red) => Some(Card::Red),
        Ok(common::Card::Unspecified) => None,
        Err(_) => {
            violations.add(field, "must be a card");
            None
        }
    }
}
