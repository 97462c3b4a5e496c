//! Calling other services, as this service.

use std::time::Duration;

use proto::events::v1::event_log_service_client::EventLogServiceClient;
use tonic::transport::Endpoint;

use super::auth::Credentials;
use super::replicas::Replicas;
use crate::base::config::Peers;
use crate::base::{Actor, trace};

/// How long a question may take.
const SOON: Duration = Duration::from_millis(1500);

/// Another service.
#[derive(Debug, Clone)]
pub struct Peer {
    replicas: Replicas,
    credentials: Credentials,
}

/// Another service by its name. Connects when it is first called.
pub fn peer(name: &str, peers: &Peers, credentials: &Credentials) -> anyhow::Result<Peer> {
    let url = peers.0.get(name).ok_or_else(|| anyhow::anyhow!("HAIQU_PEERS does not say where `{name}` is"))?;
    let endpoints = url.split('|').map(endpoint).collect::<Result<Vec<_>, _>>()?;
    let replicas = Replicas::new(endpoints.iter().map(Endpoint::connect_lazy).collect());
    Ok(Peer { replicas, credentials: credentials.clone() })
}

fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(3))
        .keep_alive_timeout(Duration::from_secs(2))
        .tcp_nodelay(true))
}

impl Peer {
    /// For a generated client: the channel.
    pub fn channel(&self) -> Replicas {
        self.replicas.clone()
    }

    /// The same for a question that somebody waits for: asked again soon rather than waited for long.
    pub async fn question<T>(&self, message: T) -> Result<tonic::Request<T>, tonic::Status> {
        let mut request = self.request(message).await?;
        request.set_timeout(SOON);
        Ok(request)
    }

    /// The message with this service's token and trace context.
    pub async fn request<T>(&self, message: T) -> Result<tonic::Request<T>, tonic::Status> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", self.credentials.authorization().await?);
        if let Some(traceparent) = trace::traceparent().and_then(|text| text.parse().ok()) {
            request.metadata_mut().insert("traceparent", traceparent);
        }
        Ok(request)
    }

    /// The same for what a person does through this service.
    pub async fn request_for<T>(&self, person: &Actor, message: T) -> Result<tonic::Request<T>, tonic::Status> {
        let mut request = self.request(message).await?;
        let person = format!("{}/{}", person.role, person.subject);
        let person = person.parse().map_err(|_| tonic::Status::internal("this person's name fits no header"))?;
        request.metadata_mut().insert(super::auth::ON_BEHALF_OF, person);
        Ok(request)
    }

    pub(crate) fn event_log(&self) -> LogReader {
        LogReader(self.clone())
    }
}

pub(crate) struct LogReader(Peer);

impl LogReader {
    pub(crate) async fn read(
        &self,
        request: proto::events::v1::ReadRequest,
    ) -> Result<tonic::Response<proto::events::v1::ReadResponse>, tonic::Status> {
        let request = self.0.request(request).await?;
        // A page of 500 events; each is well below a kilobyte, the limit leaves room.
        EventLogServiceClient::new(self.0.channel()).max_decoding_message_size(16 << 20).read(request).await
    }
}
