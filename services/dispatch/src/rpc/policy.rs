//! Policies.

use foundation::call::{Answer, Call, Calls};
use proto::dispatch::v1;
use proto::dispatch::v1::policy_service_server::PolicyService;
use tonic::{Request, Response};

use crate::operations::policy::run;
use crate::{views, wire};

/// Answers for `PolicyService`.
pub struct Policies {
    pub calls: Calls,
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn create_policy(&self, request: Request<v1::CreatePolicyRequest>) -> Answer<v1::CreatePolicyResponse> {
        self.calls.command(request, wire::policy::create, run, wire::policy::created).await
    }

    async fn get_policy(&self, request: Request<v1::GetPolicyRequest>) -> Answer<v1::Policy> {
        let call = Call::of(request)?;
        let mut connection = self.calls.reading().await?;
        let row = views::policy::get(&mut connection, call.scope(), call.message.version).await?;
        Ok(Response::new(wire::policy::shown(&row)))
    }
}
