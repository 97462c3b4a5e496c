//! Connect's streams in JSON, for whoever has no gRPC: `application/connect+json`, each message in an envelope of one byte of flags and
//! four of length; the last one (flag 2) tells how it ended. What comes from the service is passed on message by message as it comes.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::{Code, Status};

use super::status::internal;

/// What such a request and its answer say they are.
pub const CONTENT: &str = "application/connect+json";

/// The envelope's flag of the last message.
const END: u8 = 2;
/// Flags and length.
const HEAD: usize = 5;
/// No message of ours is larger.
const MOST: usize = 16 * 1024 * 1024;

/// The one message of a request to a server's stream.
pub fn only(body: &Bytes) -> Result<Bytes, Status> {
    let whole = body.len().checked_sub(HEAD).filter(|length| {
        body[0] == 0 && usize::try_from(u32::from_be_bytes([body[1], body[2], body[3], body[4]])) == Ok(*length)
    });
    match whole {
        Some(_) => Ok(body.slice(HEAD..)),
        None => Err(Status::invalid_argument("send one uncompressed message in an envelope of flags 0 and its length")),
    }
}

/// The answer to a request that never reached its method: ended, and why.
pub fn refused(status: &Status, shown: impl Fn(&Status) -> Value) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(CONTENT))], Body::from(envelope(END, &end(status, &shown))))
        .into_response()
}

/// The answer, passed on as it comes. `shown` makes of a status what Connect calls an error.
pub fn answer(
    response: Response,
    output: MessageDescriptor,
    shown: impl Fn(&Status) -> Value + Send + 'static,
) -> Response {
    let (parts, body) = response.into_parts();
    let at_once = Status::from_header_map(&parts.headers).filter(|status| status.code() != Code::Ok);
    let frames = Frames { body, buffer: BytesMut::new(), ended: false };
    let messages =
        stream::unfold((frames, at_once, output, shown), |(mut frames, mut at_once, output, shown)| async move {
            if frames.ended {
                return None;
            }
            let next = match at_once.take() {
                Some(status) => Err(status),
                None => frames.next(&output).await.transpose().unwrap_or(Err(Status::ok(""))),
            };
            let envelope = match next {
                Ok(json) => envelope(0, &json),
                Err(status) => {
                    frames.ended = true;
                    envelope(END, &end(&status, &shown))
                }
            };
            Some((Ok::<_, std::convert::Infallible>(envelope), (frames, at_once, output, shown)))
        });
    ([(CONTENT_TYPE, HeaderValue::from_static(CONTENT))], Body::from_stream(messages.fuse())).into_response()
}

fn end(status: &Status, shown: &impl Fn(&Status) -> Value) -> Vec<u8> {
    let end = match status.code() {
        Code::Ok => serde_json::json!({}),
        _ => serde_json::json!({ "error": shown(status) }),
    };
    end.to_string().into_bytes()
}

pub(super) fn envelope(flags: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + HEAD);
    framed.put_u8(flags);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// gRPC's messages as they come.
struct Frames {
    body: Body,
    buffer: BytesMut,
    ended: bool,
}

impl Frames {
    /// The next message as JSON; none at the end that its trailers call good.
    async fn next(&mut self, output: &MessageDescriptor) -> Result<Option<Vec<u8>>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return json(output.clone(), message).map(Some);
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(internal)?;
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(trailers) => {
                    let status = trailers.trailers_ref().and_then(Status::from_header_map);
                    return status.filter(|status| status.code() != Code::Ok).map_or(Ok(None), Err);
                }
            }
        }
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(head) = self.buffer.get(..HEAD) else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(Status::internal("a message of the stream is too large"));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// A message as JSON, with every field.
pub(super) fn json(output: MessageDescriptor, message: Bytes) -> Result<Vec<u8>, Status> {
    let message = DynamicMessage::decode(output, message).map_err(internal)?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut json = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut json, &options).map_err(internal)?;
    Ok(json.into_inner())
}
