//! 阳光+ over HTTP. What counts as a receipt belongs here: 2xx with `code` `OK` and a receipt number. Our default interface,
//! to be mapped onto the platform's own when its text is at hand: `POST /v1/cases` hands a document over under our id,
//! `GET /v1/cases/{id}` tells its receipt, or 404. Both carry our key as bearer token.

use std::time::Duration;

use foundation::clock::from_wire;
use foundation::lease::{self, Lease};
use proto::oversight::v1::TimelineEntry;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What became of a document that was handed over.
#[derive(Debug)]
pub enum Pushed {
    /// It was received.
    Received(Receipt),
    /// Whether it was received is not known, or it was turned away: the delay is 阳光+'s.
    NotTaken,
    /// It never left: this process had slept.
    NotOffered,
}

/// 阳光+ gave no receipt, and its own silence or refusal is why; or this process never asked.
struct NoReceipt {
    offered: bool,
}

/// The way to 阳光+.
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
    /// What a correction says.
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

impl Line {
    /// As the platform reads it.
    pub fn of(entry: &TimelineEntry) -> Line {
        let time = entry.time.as_ref().and_then(from_wire).map(|at| at.to_rfc3339());
        Line { time: time.unwrap_or_default(), text: entry.text.clone() }
    }
}

/// The platform's confirmation.
#[derive(Debug, Clone, Deserialize)]
pub struct Receipt {
    code: String,
    /// Its number.
    pub receipt: String,
}

impl Platform {
    /// At this address, known by this key.
    pub fn new(url: &str, key: SecretString) -> anyhow::Result<Platform> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(2))
            .connect_timeout(Duration::from_secs(1))
            .build()?;
        Ok(Platform { http, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Hands a document over, unless the lease has run out by then.
    pub async fn push(&self, document: &Document, lease: Lease) -> Pushed {
        let Ok(content) = serde_json::to_vec(document) else { return Pushed::NotOffered };
        let request = self.http.post(format!("{}/v1/cases", self.url)).header(CONTENT_TYPE, "application/json");
        match self.ask(request.body(lease.body(content))).await {
            Ok(Some(receipt)) => Pushed::Received(receipt),
            Ok(None) | Err(NoReceipt { offered: true }) => Pushed::NotTaken,
            Err(NoReceipt { offered: false }) => Pushed::NotOffered,
        }
    }

    /// The receipt of a document that arrived earlier; none when it never did; an error when that is not known.
    pub async fn find(&self, id: Uuid) -> Result<Option<Receipt>, ()> {
        self.ask(self.http.get(format!("{}/v1/cases/{id}", self.url))).await.map_err(|_| ())
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Option<Receipt>, NoReceipt> {
        let response = request.bearer_auth(self.key.expose_secret()).send().await.map_err(|error| {
            let offered = !lease::stopped(&error);
            tracing::warn!(error = %error.without_url(), offered, "阳光+ does not answer");
            NoReceipt { offered }
        })?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let receipt = response.json::<Receipt>().await.ok();
        match receipt.filter(|receipt| status.is_success() && receipt.code == "OK") {
            Some(receipt) => Ok(Some(receipt)),
            None => {
                tracing::warn!(status = status.as_u16(), "阳光+ gave no receipt");
                Err(NoReceipt { offered: true })
            }
        }
    }
}
