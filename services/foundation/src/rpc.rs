//! Serving calls: gRPC, gRPC-Web and Connect-unary JSON on one port, every limit set, every error typed.

pub mod client;
mod json;
mod once;
mod replicas;
mod violations;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::net::TcpListener;
use tonic::codegen::Service as GrpcService;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::Instrument as _;

pub use once::once;
pub use violations::Violations;

use crate::auth::Auth;
use crate::config;
use crate::db::Chain;
use crate::host::Stop;
use crate::telemetry;

/// A handler that takes longer is cancelled; its transaction still ends.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller does well to wait before it repeats a call that found no database.
const PAUSE: Duration = Duration::from_millis(500);
/// Largest message taken, unless a service says otherwise.
pub const MESSAGE_LIMIT: usize = 256 * 1024;

/// The calls that a service answers.
pub struct Server {
    calls: Routes,
    pages: Router,
    message_limit: usize,
}

impl Server {
    /// Health, and reflection where it is configured.
    pub fn new<H>(config: &config::Service, health: H) -> Server
    where
        H: GrpcService<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Response: axum::response::IntoResponse,
        H::Future: Send + 'static,
    {
        let mut calls = Routes::new(health);
        if config.reflection {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            match builder.build_v1() {
                Ok(reflection) => calls = calls.add_service(reflection),
                Err(error) => tracing::error!(%error, "reflection is not served"),
            }
        }
        Server { calls, pages: Router::new(), message_limit: MESSAGE_LIMIT }
    }

    /// Answers one more gRPC service.
    pub fn service<S>(mut self, service: S) -> Server
    where
        S: GrpcService<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.calls = self.calls.add_service(service);
        self
    }

    /// Also answers these plain HTTP paths, which look after their own credentials.
    pub fn pages(mut self, pages: Router) -> Server {
        self.pages = pages;
        self
    }

    /// Takes JSON bodies up to this size; set the same on the service's own decoder.
    pub fn message_limit(mut self, bytes: usize) -> Server {
        self.message_limit = bytes;
        self
    }

    pub(crate) async fn serve(self, listener: TcpListener, auth: Auth, stop: Stop) -> anyhow::Result<()> {
        let transcoder = json::Transcoder::new(self.message_limit, auth.clone())?;
        let calls = self
            .calls
            .into_axum_router()
            .layer(middleware::from_fn(say_which_limit))
            .layer(middleware::from_fn_with_state(auth.clone(), crate::auth::layer))
            .layer(tonic_web::GrpcWebLayer::new())
            .layer(middleware::from_fn_with_state(transcoder, json::layer))
            .layer(middleware::from_fn(traced));
        let pages = self.pages.layer(middleware::from_fn_with_state(auth, crate::auth::strangers));
        let router = pages.fallback_service(calls);
        // Set here: the server's own settings of its connections count for listeners that it binds itself. Without the first, the end
        // of an answer waits until its beginning is acknowledged, which a caller does with its next call.
        let incoming =
            TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(60)));
        tonic::transport::Server::builder()
            .accept_http1(true)
            .timeout(TIMEOUT)
            .concurrency_limit_per_connection(128)
            .max_concurrent_streams(128)
            .max_connection_age(Duration::from_secs(1800))
            .max_connection_age_grace(Duration::from_secs(10))
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .http2_max_header_list_size(16 * 1024)
            .http2_max_pending_accept_reset_streams(Some(64))
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(incoming, async move { stop.wait().await })
            .await?;
        Ok(())
    }
}

/// One span a call, a child of the caller's.
async fn traced(request: Request, next: Next) -> Response {
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let span = tracing::info_span!("rpc", otel.kind = "server", otel.name = %method, rpc.system.name = "grpc", rpc.method = %method);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::continue_trace(&span, traceparent);
    let began = Instant::now();
    let response = next.run(request).instrument(span).await;
    // Headers tell of every error; what is not said there went well so far.
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    // A stranger must not be able to make up names without end.
    let known = if code == Code::Unimplemented { "_OTHER" } else { &method };
    telemetry::call(known, code, began.elapsed());
    response
}

/// tonic calls a message over the size limit OUT_OF_RANGE; the conventions call it RESOURCE_EXHAUSTED.
async fn say_which_limit(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() == Code::OutOfRange && status.message().contains("message length too large") => {
            Status::resource_exhausted(status.message().trim_start_matches("Error, ")).into_http()
        }
        Some(_) | None => response,
    }
}

/// A caller learns that we failed and whether it may pass, the log learns why.
pub fn internal(error: impl std::error::Error + 'static) -> Status {
    tracing::error!(error = %Chain(&error), "a call failed");
    if passes(&error) {
        let details = ErrorDetails::with_retry_info(Some(PAUSE));
        let message = "the service cannot work with its database now; repeat the call with the same request_id";
        return Status::with_error_details(Code::Unavailable, message, details);
    }
    Status::internal("the service failed; the call may be repeated with the same request_id")
}

/// Whether the database is away, or has more to do than it can: nothing is wrong with the call.
fn passes(error: &(dyn std::error::Error + 'static)) -> bool {
    let away = error
        .downcast_ref::<sqlx::Error>()
        .is_some_and(|error| matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)));
    away || error.source().is_some_and(passes)
}

/// A call that the state of a record does not allow, saying the state.
pub fn wrong_state(subject: &str, state: &str, message: &str) -> Status {
    let details = ErrorDetails::with_precondition_failure_violation("STATE", subject, format!("state is {state}"));
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Something that is there already, with a machine-readable reason.
pub fn already_exists(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "haiqu", std::collections::HashMap::<String, String>::new());
    Status::with_error_details(Code::AlreadyExists, message, details)
}
