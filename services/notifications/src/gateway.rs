//! The SMS gateway over HTTP. What counts as a receipt belongs here: 2xx with `code` `OK`. Its interface:
//! `POST /v1/messages {id, to, text, segments}` hands a message over under our id; `GET /v1/messages/{id}` tells its status,
//! `accepted`, `delivered` or `failed`, or 404. Both carry our key as bearer token.

use std::time::Duration;

use foundation::lease::Lease;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::domain::texts::segments;

/// The way out.
#[derive(Debug, Clone)]
pub struct Gateway {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

/// What the gateway said to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It took it over.
    Accepted,
    /// It will never take it.
    Refused,
    /// It may or may not have it: ask before sending again.
    Unknown,
}

/// What the gateway knows of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It has it.
    Accepted,
    /// It reached the phone.
    Delivered,
    /// It could not be delivered.
    Failed,
    /// It never got it.
    Absent,
    /// It cannot be asked now.
    Unknown,
}

#[derive(Deserialize)]
struct Answer {
    code: String,
    status: Option<String>,
}

impl Gateway {
    /// At this address, known by this key.
    pub fn new(url: &str, key: SecretString) -> anyhow::Result<Gateway> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(2))
            .connect_timeout(Duration::from_secs(1))
            .build()?;
        Ok(Gateway { http, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Hands a message over under its id, unless the lease has run out by then.
    pub async fn send(&self, id: Uuid, to: &str, text: &str, lease: Lease) -> Sent {
        let message = json!({ "id": id, "to": to, "text": text, "segments": segments(text) });
        let request = self.http.post(format!("{}/v1/messages", self.url)).bearer_auth(self.key.expose_secret());
        let request = request.header(CONTENT_TYPE, "application/json").body(lease.body(message.to_string()));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(effect = %id, error = %error.without_url(), "the gateway's answer is not known");
                return Sent::Unknown;
            }
        };
        let status = response.status();
        match response.json::<Answer>().await {
            Ok(answer) if status.is_success() && answer.code == "OK" => Sent::Accepted,
            Ok(answer) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                tracing::error!(effect = %id, code = answer.code, "the gateway refuses this message");
                Sent::Refused
            }
            Ok(_) | Err(_) => {
                tracing::warn!(effect = %id, status = status.as_u16(), "the gateway did not take the message over");
                Sent::Unknown
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
        let Ok(answer) = response.json::<Answer>().await else { return Found::Unknown };
        match answer.status.as_deref().filter(|_| status.is_success() && answer.code == "OK") {
            Some("accepted") => Found::Accepted,
            Some("delivered") => Found::Delivered,
            Some("failed") => Found::Failed,
            Some(_) | None => Found::Unknown,
        }
    }
}
