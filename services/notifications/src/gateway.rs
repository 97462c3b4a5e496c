//! The SMS gateway over HTTP. What counts as a receipt belongs here: 2xx with `code` `OK`. Its interface:
//! `POST /v1/messages {id, to, text, segments}` hands a message over under our id; `GET /v1/messages/{id}` answers its status,
//! `accepted`, `delivered` or `failed`, or 404. Both carry our key as bearer token.

use foundation::base::text;
use foundation::call::http::json as answered;
use foundation::out::{Found, Lease, Sent, http, lease};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::domain::texts::segments;

/// The gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

#[derive(Deserialize)]
struct Answer {
    code: String,
    status: Option<String>,
}

impl Gateway {
    /// At this address, known by this key.
    pub fn new(url: &str, key: SecretString) -> anyhow::Result<Gateway> {
        Ok(Gateway { http: http::client()?, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Hands a message over under its id, unless the lease has run out by then.
    pub async fn send(&self, id: Uuid, to: &str, content: &str, lease: Lease) -> Sent {
        let message = json!({ "id": id, "to": to, "text": content, "segments": segments(content) });
        let request = self.http.post(format!("{}/v1/messages", self.url)).bearer_auth(self.key.expose_secret());
        let request = request.header(CONTENT_TYPE, "application/json").body(lease.body(message.to_string()));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let offered = !lease::stopped(&error);
                tracing::warn!(effect = %id, error = %error.without_url(), "the gateway's answer is not known");
                return if offered { Sent::NotTaken } else { Sent::NotOffered };
            }
        };
        let status = response.status();
        match answered::<Answer>(response).await {
            Some(answer) if status.is_success() && answer.code == "OK" => Sent::Accepted(text::masked(to)),
            Some(answer) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                tracing::error!(effect = %id, code = answer.code, "the gateway refuses this message");
                Sent::Refused
            }
            Some(_) | None => {
                tracing::warn!(effect = %id, status = status.as_u16(), "the gateway did not take the message over");
                Sent::NotTaken
            }
        }
    }

    /// What became of a message.
    pub async fn find(&self, id: Uuid) -> Found {
        let request = self.http.get(format!("{}/v1/messages/{id}", self.url)).bearer_auth(self.key.expose_secret());
        let Ok(response) = request.send().await else { return Found::Unknown };
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Found::Absent;
        }
        let Some(answer) = answered::<Answer>(response).await else { return Found::Unknown };
        match answer.status.as_deref().filter(|_| status.is_success() && answer.code == "OK") {
            Some("accepted") => Found::Accepted(String::new()),
            Some("delivered") => Found::Delivered,
            Some("failed") => Found::Failed,
            Some(_) | None => Found::Unknown,
        }
    }
}
