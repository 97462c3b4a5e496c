//! Answering a whistle by the link in a reminder.

use foundation::clock::{self, from_wire};
use foundation::id;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::dispatch::v1::{AnswerAssignmentRequest, Assignment};
use secrecy::ExposeSecret as _;
use tonic::Code;
use uuid::Uuid;

use super::Operations;
use crate::domain::{Kind, Target, link};
use crate::error::Error;

/// What the link answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The unit's share.
    pub assignment: Uuid,
    /// When.
    pub at: clock::Timestamp,
}

const UNUSABLE: &str = "此链接无效或已过期 (the link is not valid or has expired): use the newest reminder's link";
const USED: &str = "此链接已使用 (the link has been used)";

impl Operations {
    /// Answers for the unit that the link was sent to. Repeating it with the same name gives the same answer.
    pub async fn answer_by_link(&self, token: &str, responsible: &str) -> Result<Answered, Error> {
        let message = link::message(self.link_key.expose_secret().as_bytes(), token).ok_or(Error::Link(UNUSABLE))?;
        let assignment = self.answerable(message).await?;
        let request = AnswerAssignmentRequest {
            request_id: id::named(message, &["answer by link"]).to_string(),
            assignment_id: assignment.to_string(),
            responsible_person: responsible.to_owned(),
        };
        let request = self.dispatch.request(request).await.map_err(Box::new)?;
        let mut client = WhistleServiceClient::new(self.dispatch.channel());
        let answer: Assignment = client.answer_assignment(request).await.map_err(used)?.into_inner();
        let at = answer.answer_time.as_ref().and_then(from_wire).ok_or(Error::Unreadable("answer_time"))?;
        Ok(Answered { assignment, at })
    }

    /// The assignment that the message reminded of, if its link may still be used.
    async fn answerable(&self, message: Uuid) -> Result<Uuid, Error> {
        let row = sqlx::query!(
            r#"select assignment_id, ladder_kind, target, due_at, clock_timestamp() as "now!" from message where id = $1"#,
            message
        );
        let row = row.fetch_optional(&self.db.rpc()).await?.ok_or(Error::Link(UNUSABLE))?;
        let of_unit = match Target::of(&row.target).map_err(sqlx::Error::from)? {
            Target::Duty | Target::Head | Target::Deputy => true,
            Target::DeputyMayor | Target::CentreHead => false,
        };
        let kind = Kind::of(&row.ladder_kind).map_err(sqlx::Error::from)?;
        match of_unit && kind == Kind::Answer && row.now - row.due_at <= link::LIFETIME {
            true => Ok(row.assignment_id),
            false => Err(Error::Link(UNUSABLE)),
        }
    }
}

fn used(status: tonic::Status) -> Error {
    match status.code() {
        Code::AlreadyExists => Error::Link(USED),
        _ => Error::Peer(Box::new(status)),
    }
}
