//! Who calls: a client for every service in the name of some person, patient as a person's program would be.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::issuer::{Issuer, Person};
use crate::stack::Stack;

/// The district of the worked example, and in it 新华街道 and 康乐社区.
pub const DISTRICT: &str = "150302";
/// 新华街道
pub const STREET: &str = "150302004";
/// 康乐社区
pub const COMMUNITY: &str = "150302004001";

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct Somebody {
    token: String,
}

impl Somebody {
    /// Of this role, in this area or of this unit.
    pub fn new(
        issuer: &Issuer,
        sub: &str,
        role: &str,
        area: Option<&str>,
        unit: Option<Uuid>,
    ) -> anyhow::Result<Somebody> {
        let person = Person {
            sub: sub.to_owned(),
            roles: vec![role.to_owned()],
            area: area.map(str::to_owned),
            unit: unit.map(|unit| unit.to_string()),
            ..Person::default()
        };
        Ok(Somebody { token: issuer.token(&person)? })
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The message as this person's request.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(value) = format!("Bearer {}", self.token).parse() {
            request.metadata_mut().insert("authorization", value);
        }
        request.set_timeout(Duration::from_secs(5));
        request
    }

    /// Calls until the service is there; safe because a repeat carries the same request id.
    pub async fn call<Q, A, F, Fut>(&self, message: Q, call: F) -> Result<A, Status>
    where
        Q: Clone,
        F: Fn(Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let mut last = Status::unavailable("never called");
        for _ in 0..150 {
            match call(self.request(message.clone())).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if passing(status.code()) => last = status,
                Err(status) => return Err(status),
            }
            crate::pause(Duration::from_millis(100)).await;
        }
        Err(last)
    }
}

/// Whether the same call may end otherwise when it is made again.
pub fn passing(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::ResourceExhausted
        | Code::Aborted => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// A channel to a service: any of its replicas.
pub fn channel(stack: &Stack, service: &str) -> anyhow::Result<Channel> {
    let endpoints = stack.addresses(service).into_iter().map(Endpoint::from_shared).collect::<Result<Vec<_>, _>>()?;
    match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => Ok(only.connect_lazy()),
        Err(several) => Ok(Channel::balance_list(several.into_iter())),
    }
}

/// A new request id.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}
