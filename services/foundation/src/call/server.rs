//! Serving calls: gRPC, gRPC-Web and Connect-unary JSON on one port, every limit set, every error typed.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use proto::access;
use tokio::net::TcpListener;
use tonic::codegen::Service as GrpcService;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::auth::{self, Auth};
use super::json;
use crate::base::{Stop, config, metrics, trace};

/// A handler that takes longer is cancelled; its transaction still ends.
const TIMEOUT: Duration = Duration::from_secs(10);
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
            let described = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            // Older tools ask with v1alpha.
            match (described().build_v1(), described().build_v1alpha()) {
                (Ok(v1), Ok(v1alpha)) => calls = calls.add_service(v1).add_service(v1alpha),
                (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "reflection is not served"),
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
            .layer(middleware::from_fn(name_the_limit))
            .layer(middleware::from_fn_with_state(auth.clone(), auth::layer))
            .layer(tonic_web::GrpcWebLayer::new())
            .layer(middleware::from_fn_with_state(transcoder, json::layer))
            .layer(middleware::from_fn(traced));
        let pages = self.pages.layer(middleware::from_fn_with_state(auth, auth::anonymous));
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
    // Nobody must be able to make up names without end.
    let method = access::find(request.uri().path()).map_or("_OTHER", |row| row.rpc.trim_start_matches('/'));
    let span = tracing::info_span!(
        "rpc",
        otel.kind = "server",
        otel.name = method,
        rpc.system.name = "grpc",
        rpc.method = method
    );
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    trace::continue_trace(&span, traceparent);
    let began = Instant::now();
    let response = next.run(request).instrument(span).await;
    // Headers tell of every error; without one it went well so far.
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    metrics::call(method, code, began.elapsed());
    response
}

/// tonic calls a message over the size limit OUT_OF_RANGE; the conventions call it RESOURCE_EXHAUSTED.
async fn name_the_limit(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() == Code::OutOfRange && status.message().contains("message length too large") => {
            Status::resource_exhausted(status.message().trim_start_matches("Error, ")).into_http()
        }
        Some(_) | None => response,
    }
}
