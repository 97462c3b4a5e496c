//! 阳光+: takes cases and corrections, gives receipts, and knows what it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::mood::{Fate, Moods};
use super::{Kind, Ledger, Seen};

/// The platform, serving.
#[derive(Clone)]
pub struct Platform {
    /// Its URL.
    pub url: String,
    /// What it knows its customer by.
    pub key: String,
    ledger: Ledger,
    /// How it behaves, and whom that has hit.
    pub moods: Moods,
    receipts: Arc<Mutex<HashMap<Uuid, String>>>,
}

impl Platform {
    /// Starts serving on a free port.
    pub async fn start(ledger: Ledger) -> anyhow::Result<Platform> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let key = format!("{:032x}", rand::random::<u128>());
        let platform = Platform { url, key, ledger, moods: Moods::default(), receipts: Arc::default() };
        let router = Router::new()
            .route("/v1/cases", post(take))
            .route("/v1/cases/{id}", get(find))
            .with_state(platform.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(platform)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        headers.get("authorization").and_then(|value| value.to_str().ok()) == Some(&format!("Bearer {}", self.key))
    }
}

async fn take(
    State(platform): State<Platform>,
    headers: HeaderMap,
    Json(document): Json<Value>,
) -> (StatusCode, Json<Value>) {
    if !platform.knows(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": "KEY" })));
    }
    let Some(id) = document["id"].as_str().and_then(|text| text.parse::<Uuid>().ok()) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "code": "ID" })));
    };
    let fate = platform.moods.fate(id);
    if matches!(fate, Fate::TurnedAway | Fate::TooMany) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "code": "DOWN" })));
    }
    let receipt = {
        let mut receipts = platform.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        let number = receipts.len() + 1;
        receipts.entry(id).or_insert_with(|| format!("YG-{number:06}")).clone()
    };
    let kind = if document["kind"] == "correction" { Kind::Correction } else { Kind::Push };
    let lines = document["timeline"].as_array().into_iter().flatten().filter_map(|line| line["text"].as_str());
    let text = if kind == Kind::Push { lines.collect::<Vec<_>>().join("；") } else { document["text"].to_string() };
    let to = document["unit"].as_str().unwrap_or_default().to_owned();
    let seen = Seen { at: crate::now(), kind, id: id.to_string(), to, text, answered_at: None };
    let recorded = platform.ledger.record(seen).await;
    if let Fate::Ambiguous(after) = fate {
        crate::pause(after.unwrap_or_default()).await;
        return (StatusCode::BAD_GATEWAY, Json(json!({ "code": "ROUTE" })));
    }
    match recorded {
        Ok(()) => (StatusCode::OK, Json(json!({ "code": "OK", "receipt": receipt }))),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "code": "LOG", "receipt": "" }))),
    }
}

async fn find(State(platform): State<Platform>, headers: HeaderMap, Path(id): Path<Uuid>) -> (StatusCode, Json<Value>) {
    if !platform.knows(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": "KEY" })));
    }
    match platform.receipts.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(receipt) => (StatusCode::OK, Json(json!({ "code": "OK", "receipt": receipt }))),
        None => (StatusCode::NOT_FOUND, Json(json!({ "code": "ABSENT" }))),
    }
}
