//! What this service asks of dispatch.

use foundation::call::Peer;
use proto::common::v1::TargetRole;
use proto::dispatch::v1::ResolveTargetRequest;
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use uuid::Uuid;

use crate::error::Error;

/// Dispatch.
#[derive(Debug, Clone)]
pub struct Dispatch(pub Peer);

/// What a case is about.
#[derive(Debug, Clone)]
pub struct Matter {
    /// The unit's name.
    pub unit: String,
    /// What the units were told.
    pub title: String,
    /// The place.
    pub place: String,
}

impl Dispatch {
    /// What an assignment is about; refused as long as dispatch is held itself.
    pub async fn matter(&self, assignment: Uuid, ladder: Uuid) -> Result<Matter, Error> {
        let request = ResolveTargetRequest {
            assignment_id: assignment.to_string(),
            ladder_id: ladder.to_string(),
            target: TargetRole::OversightPlatform.into(),
        };
        let request = self.0.question(request).await.map_err(Box::new)?;
        let mut client = DirectoryServiceClient::new(self.0.channel());
        let answer = client.resolve_target(request).await.map_err(Box::new)?.into_inner();
        Ok(Matter { unit: answer.unit_name, title: answer.title, place: answer.place })
    }
}
