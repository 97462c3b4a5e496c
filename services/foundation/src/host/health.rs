//! gRPC health checking (grpc.health.v1), what Kubernetes' native probes ask: service "" is readiness, "live" is liveness.

use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Whether the process may be given work.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<bool>);

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

impl Health {
    /// Not ready yet.
    pub fn new() -> Health {
        Health(watch::Sender::new(false))
    }

    /// Says whether it is ready from now on.
    pub fn ready(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// The gRPC service.
    pub fn service(&self) -> HealthServer<Health> {
        HealthServer::new(self.clone())
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let serving = match request.into_inner().service.as_str() {
            "" => *self.0.borrow(),
            "live" => true,
            other => return Err(Status::not_found(format!("`{other}` is not checked; ask for \"\" or \"live\""))),
        };
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask with Check"))
    }
}
