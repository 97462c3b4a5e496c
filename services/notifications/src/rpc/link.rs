//! The one-time link. No token comes with it: the link itself is the credential.

use foundation::base::Violations;
use foundation::base::time::to_wire;
use foundation::call::Answer;
use proto::notifications::v1;
use proto::notifications::v1::answer_link_service_server::AnswerLinkService;
use tonic::{Request, Response};

use crate::operations::link::{Answering, answer};

/// Answers for `AnswerLinkService`.
pub struct Links {
    pub answering: Answering,
}

#[tonic::async_trait]
impl AnswerLinkService for Links {
    async fn answer_by_link(&self, request: Request<v1::AnswerByLinkRequest>) -> Answer<v1::AnswerByLinkResponse> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let token = violations.text("token", &request.token, 1..=100);
        let responsible = violations.text("responsible_person", &request.responsible_person, 1..=50);
        violations.finish()?;
        let answered = answer(&self.answering, &token, &responsible).await?;
        Ok(Response::new(v1::AnswerByLinkResponse {
            assignment_id: answered.assignment.to_string(),
            answer_time: Some(to_wire(answered.at)),
        }))
    }
}
