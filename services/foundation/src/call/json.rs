//! JSON for whoever has no gRPC: Connect's protocol, `POST /package.Service/Method` with a JSON body. The request is turned into a gRPC call before everything else sees it, and the answer back, so every rule holds for both.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Version};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::json;
use tonic::{Code, Status};

use super::auth::Auth;
use super::json_stream;
use super::status::internal;
use crate::base::Violations;

/// Knows every message, how large a body may be, and who may send one.
#[derive(Clone)]
pub struct Transcoder {
    pool: Arc<DescriptorPool>,
    limit: usize,
    auth: Auth,
}

impl Transcoder {
    pub fn new(limit: usize, auth: Auth) -> anyhow::Result<Transcoder> {
        Ok(Transcoder { pool: Arc::new(DescriptorPool::decode(proto::DESCRIPTORS)?), limit, auth })
    }

    fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        self.pool.get_service_by_name(service)?.methods().find(|known| known.name() == method)
    }
}

/// Passes everything that is not JSON through.
pub async fn layer(State(transcoder): State<Transcoder>, mut request: Request, next: Next) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let streams = content_type.starts_with(json_stream::CONTENT);
    if request.method() != Method::POST || !(streams || content_type.starts_with("application/json")) {
        return next.run(request).await;
    }
    let Some(method) = transcoder.method(request.uri().path()) else {
        return transcoder.failed(&Status::unimplemented(format!("no method {}", request.uri().path())));
    };
    if method.is_server_streaming() != streams {
        let content = if streams { "application/json" } else { json_stream::CONTENT };
        let text = format!("send this method's requests as {content}\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    // Before the body: nobody reads what its sender may not send.
    let let_in = transcoder.auth.let_in(&mut request).await;
    let request = match let_in {
        Ok(()) => to_grpc(request, &method, transcoder.limit).await,
        Err(status) => Err(status),
    };
    let request = match request {
        Ok(request) => request,
        Err(status) if streams => return json_stream::refused(&status, |status| transcoder.shown(status)),
        Err(status) => return transcoder.failed(&status),
    };
    let response = next.run(request).await;
    if streams {
        return json_stream::answer(response, method.output(), move |status| transcoder.shown(status));
    }
    from_grpc(response, method.output()).await.unwrap_or_else(|status| transcoder.failed(&status))
}

async fn to_grpc(request: Request, method: &MethodDescriptor, limit: usize) -> Result<Request, Status> {
    let (mut parts, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, limit * 4 / 3 + 1024).collect().await;
    let body =
        body.map_err(|_| Status::resource_exhausted(format!("message too large: the limit is {limit} bytes")))?;
    let mut body = body.to_bytes();
    if method.is_server_streaming() {
        body = json_stream::only(&body)?;
    }
    let mut json = serde_json::Deserializer::from_slice(&body);
    let message = DynamicMessage::deserialize(method.input(), &mut json);
    let message = message.and_then(|message| json.end().map(|()| message));
    let message = message.map_err(|error| not_this_message(&error))?;
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    parts.headers.insert("te", HeaderValue::from_static("trailers"));
    parts.headers.remove(CONTENT_LENGTH);
    parts.version = Version::HTTP_2;
    // The same envelope as Connect's.
    Ok(Request::from_parts(parts, Body::from(json_stream::envelope(0, &message.encode_to_vec()))))
}

fn not_this_message(error: &serde_json::Error) -> Status {
    let mut violations = Violations::default();
    let text = error.to_string();
    // prost-reflect and serde name the field between backquotes or quotes where they know it.
    let field = text.split(['`', '\'', '"']).nth(1).unwrap_or("body").to_owned();
    violations.add(field, &text);
    match violations.finish() {
        Err(invalid) => invalid.into(),
        Ok(()) => Status::invalid_argument(text),
    }
}

async fn from_grpc(response: Response, output: MessageDescriptor) -> Result<Response, Status> {
    let (parts, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers).filter(|status| status.code() != Code::Ok) {
        return Err(status);
    }
    let collected = body.collect().await.map_err(internal)?;
    if let Some(status) =
        collected.trailers().and_then(Status::from_header_map).filter(|status| status.code() != Code::Ok)
    {
        return Err(status);
    }
    let bytes = collected.to_bytes();
    let json = json_stream::json(output, bytes.slice(5.min(bytes.len())..))?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

impl Transcoder {
    /// A Connect error: HTTP status, code, message, and the `google.rpc` details.
    fn failed(&self, status: &Status) -> Response {
        let body = self.shown(status).to_string();
        (http_status(status.code()), [(CONTENT_TYPE, "application/json")], body).into_response()
    }

    fn shown(&self, status: &Status) -> serde_json::Value {
        json!({ "code": name(status.code()), "message": status.message(), "details": self.details(status) })
    }

    fn details(&self, status: &Status) -> Vec<serde_json::Value> {
        let Ok(rich) = tonic_types::pb::Status::decode(status.details()) else { return Vec::new() };
        let shown = rich.details.into_iter().map(|any| {
            let name = any.type_url.trim_start_matches("type.googleapis.com/").to_owned();
            let readable = self.pool.get_message_by_name(&name);
            let readable = readable.and_then(|kind| DynamicMessage::decode(kind, &any.value[..]).ok());
            let debug = readable.and_then(|message| serde_json::to_value(message).ok());
            json!({ "type": name, "value": STANDARD_NO_PAD.encode(&any.value), "debug": debug })
        });
        shown.collect()
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
