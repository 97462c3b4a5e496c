//! Messages.

use foundation::call::status::internal;
use foundation::call::{Answer, Call, Calls};
use proto::notifications::v1;
use proto::notifications::v1::message_service_server::MessageService;
use tonic::{Request, Response};

use crate::views;
use crate::wire::message as wire;

/// Answers for `MessageService`.
pub struct Messages {
    pub calls: Calls,
}

#[tonic::async_trait]
impl MessageService for Messages {
    async fn list_messages(&self, request: Request<v1::ListMessagesRequest>) -> Answer<v1::ListMessagesResponse> {
        let call = Call::of(request)?;
        let assignment = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::message::of_assignment(&mut connection, call.scope(), assignment).await.map_err(internal)?;
        Ok(Response::new(v1::ListMessagesResponse { messages: rows.into_iter().map(wire::shown).collect() }))
    }
}
