//! What this service asks of dispatch.

use foundation::base::time::from_wire;
use foundation::base::{Actor, Timestamp, Wire as _, id};
use foundation::call::Peer;
use proto::dispatch::v1;
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::Rung;
use crate::domain::Target;
use crate::domain::texts::Matter;
use crate::error::Error;

/// Dispatch.
#[derive(Debug, Clone)]
pub struct Dispatch(pub Peer);

/// Whom an effect is for, and what it tells of.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What it tells of.
    pub matter: Matter,
    /// When the ladder stopped.
    pub stopped_at: Option<Timestamp>,
    /// Who holds the role.
    pub contact: Option<v1::Contact>,
}

/// What an answer by a link met.
#[derive(Debug, Clone, Copy)]
pub enum Replied {
    /// It is answered, since then.
    At(Timestamp),
    /// The link has been used with another name.
    Otherwise,
}

impl Dispatch {
    /// Asks the directory: contacts are resolved when the rung fires, never earlier.
    pub async fn resolve(&self, rung: &Rung, target: Target) -> Result<Resolved, Error> {
        let request = v1::ResolveTargetRequest {
            assignment_id: rung.assignment.to_string(),
            ladder_id: rung.ladder.to_string(),
            target: target.number(),
        };
        let request = self.0.question(request).await.map_err(Box::new)?;
        let mut client = DirectoryServiceClient::new(self.0.channel());
        let answer = client.resolve_target(request).await.map_err(Box::new)?.into_inner();
        let time = |at: Option<prost_types::Timestamp>| at.as_ref().and_then(from_wire);
        let missing = || Box::new(Status::internal("dispatch gave no times"));
        Ok(Resolved {
            matter: Matter {
                unit: answer.unit_name,
                title: answer.title,
                place: answer.place,
                blown_at: time(answer.blow_time).ok_or_else(missing)?,
                handle_due_at: time(answer.handle_due_time).ok_or_else(missing)?,
            },
            stopped_at: time(answer.stop_time),
            contact: answer.contact,
        })
    }

    /// Answers an assignment for whoever holds the link in a message: once a message.
    pub async fn answer(
        &self,
        whoever: &Actor,
        message: Uuid,
        assignment: Uuid,
        responsible_person: &str,
    ) -> Result<Replied, Error> {
        let request = v1::AnswerAssignmentRequest {
            request_id: id::named(message, &["answer by link"]).to_string(),
            assignment_id: assignment.to_string(),
            responsible_person: responsible_person.to_owned(),
        };
        let request = self.0.request_for(whoever, request).await.map_err(Box::new)?;
        let mut client = WhistleServiceClient::new(self.0.channel());
        match client.answer_assignment(request).await {
            Ok(status) => {
                let at = status.into_inner().update_time.as_ref().and_then(from_wire);
                Ok(Replied::At(at.ok_or(Error::Unreadable("update_time"))?))
            }
            Err(status) if status.code() == Code::AlreadyExists => Ok(Replied::Otherwise),
            Err(status) => Err(Box::new(status).into()),
        }
    }
}
