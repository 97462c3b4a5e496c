//! 阳光+ over HTTP. What counts as a receipt belongs here: 2xx with `code` `OK` and a receipt number. Our default interface,
//! to be mapped onto the platform's own when its text is at hand: `POST /v1/cases` hands a document over under our id,
//! `GET /v1/cases/{id}` answers its receipt, or 404. Both carry our key as bearer token.

use foundation::call::http::json as answered;
use foundation::out::{Found, Lease, Sent, http, lease};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// 阳光+.
#[derive(Debug, Clone)]
pub struct Platform {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

/// What is handed over.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Constant over every attempt.
    pub id: Uuid,
    /// `case` or `correction`.
    pub kind: &'static str,
    /// The case that a correction is about.
    pub corrects: Option<Uuid>,
    /// Name of the unit.
    pub unit: String,
    /// What it was told.
    pub title: String,
    /// Where.
    pub place: String,
    /// What has happened, oldest first.
    pub timeline: Vec<Line>,
    /// What a correction tells.
    pub text: String,
}

/// One line of a timeline.
#[derive(Debug, Serialize)]
pub struct Line {
    /// RFC 3339.
    pub time: String,
    /// Chinese.
    pub text: String,
}

#[derive(Debug, Deserialize)]
struct Receipt {
    code: String,
    receipt: String,
}

/// No receipt came, and 阳光+'s own silence or refusal is why; or this process never asked.
struct NoReceipt {
    offered: bool,
}

impl Platform {
    /// At this address, known by this key.
    pub fn new(url: &str, key: SecretString) -> anyhow::Result<Platform> {
        Ok(Platform { http: http::client()?, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Hands a document over, unless the lease has run out by then.
    pub async fn push(&self, document: &Document, lease: Lease) -> Sent {
        let Ok(content) = serde_json::to_vec(document) else { return Sent::NotOffered };
        let request = self.http.post(format!("{}/v1/cases", self.url)).header(CONTENT_TYPE, "application/json");
        match self.ask(request.body(lease.body(content))).await {
            Ok(Some(receipt)) => Sent::Accepted(receipt),
            Ok(None) | Err(NoReceipt { offered: true }) => Sent::NotTaken,
            Err(NoReceipt { offered: false }) => Sent::NotOffered,
        }
    }

    /// Whether a document arrived earlier.
    pub async fn find(&self, id: Uuid) -> Found {
        match self.ask(self.http.get(format!("{}/v1/cases/{id}", self.url))).await {
            Ok(Some(receipt)) => Found::Accepted(receipt),
            Ok(None) => Found::Absent,
            Err(NoReceipt { .. }) => Found::Unknown,
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Option<String>, NoReceipt> {
        let response = request.bearer_auth(self.key.expose_secret()).send().await.map_err(|error| {
            let offered = !lease::stopped(&error);
            tracing::warn!(error = %error.without_url(), offered, "阳光+ does not answer");
            NoReceipt { offered }
        })?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let receipt = answered::<Receipt>(response).await;
        match receipt.filter(|receipt| status.is_success() && receipt.code == "OK") {
            Some(receipt) => Ok(Some(receipt.receipt)),
            None => {
                tracing::warn!(status = status.as_u16(), "阳光+ gave no receipt");
                Err(NoReceipt { offered: true })
            }
        }
    }
}
