//! The SMS gateway, and the phones behind it: a phone that was told to answers by the link in the first message it gets, as
//! a duty officer would, and taps again until it is confirmed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::mood::{Fate, Moods};
use super::{Kind, Ledger, Seen};

/// How long a phone that cannot be reached is tried.
const GIVES_UP: TimeDelta = TimeDelta::seconds(2);

/// The gateway, serving.
#[derive(Clone)]
pub struct Gateway {
    /// Its URL.
    pub url: String,
    /// What it knows its customer by.
    pub key: String,
    ledger: Ledger,
    /// How it behaves, and whom that has hit.
    pub moods: Moods,
    messages: Arc<Mutex<HashMap<Uuid, Message>>>,
    phones: Arc<Mutex<HashMap<String, String>>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Message {
    id: Uuid,
    to: String,
    text: String,
}

impl Gateway {
    /// Starts serving on a free port.
    pub async fn start(ledger: Ledger) -> anyhow::Result<Gateway> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let key = format!("{:032x}", rand::random::<u128>());
        let gateway =
            Gateway { url, key, ledger, moods: Moods::default(), messages: Arc::default(), phones: Arc::default() };
        let router = Router::new()
            .route("/v1/messages", post(take))
            .route("/v1/messages/{id}", get(find))
            .with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(gateway)
    }

    /// The phone with this number answers in this person's name.
    pub fn answers(&self, number: &str, name: &str) {
        self.phones.lock().unwrap_or_else(PoisonError::into_inner).insert(number.into(), name.into());
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        headers.get("authorization").and_then(|value| value.to_str().ok()) == Some(&format!("Bearer {}", self.key))
    }

    async fn answer(self, link: String, name: String) {
        // The time it takes to reach for the phone.
        crate::pause(Duration::from_millis(60)).await;
        let seen = |kind, id: String, answered_at| {
            let (to, text) = (name.clone(), link.clone());
            Seen { at: crate::now(), kind, id, to, text, answered_at }
        };
        let started = self.ledger.record(seen(Kind::Answering, String::new(), None)).await;
        let (Ok(()), Some((base, token))) = (started, link.split_once("/a/")) else { return };
        let call = format!("{base}/haiqu.notifications.v1.AnswerLinkService/AnswerByLink");
        let body = json!({ "token": token, "responsiblePerson": name });
        for _ in 0..200 {
            let answer = match reqwest::Client::new().post(&call).json(&body).send().await {
                Ok(response) if response.status() == StatusCode::OK => response.json::<Value>().await.ok(),
                Ok(_) | Err(_) => None,
            };
            if let Some(answer) = answer {
                let time = answer["answerTime"].as_str().and_then(|text| text.parse().ok());
                let id = answer["assignmentId"].as_str().unwrap_or_default().to_owned();
                if let Err(error) = self.ledger.record(seen(Kind::Answer, id, time)).await {
                    eprintln!("the gateway's log cannot be written: {error}");
                }
                return;
            }
            crate::pause(Duration::from_millis(100)).await;
        }
    }
}

async fn take(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Json(message): Json<Message>,
) -> (StatusCode, Json<Value>) {
    if !gateway.knows(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": "KEY" })));
    }
    let Message { id, to, text } = message.clone();
    let fate = gateway.moods.fate(id);
    match fate {
        Fate::TurnedAway => return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "code": "BUSY" }))),
        Fate::TooMany => return (StatusCode::TOO_MANY_REQUESTS, Json(json!({ "code": "RATE" }))),
        Fate::Good | Fate::Ambiguous(_) => {}
    }
    gateway.messages.lock().unwrap_or_else(PoisonError::into_inner).insert(id, message);
    let seen = Seen {
        at: crate::now(),
        kind: Kind::Sms,
        id: id.to_string(),
        to: to.clone(),
        text: text.clone(),
        answered_at: None,
    };
    if gateway.ledger.record(seen).await.is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "code": "LOG" })));
    }
    // One answer a phone: it is done with the first.
    let name = gateway.phones.lock().unwrap_or_else(PoisonError::into_inner).remove(&to);
    let link = text.split('：').next_back().filter(|part| part.starts_with("http")).map(str::to_owned);
    if let (Some(name), Some(link)) = (name, link) {
        tokio::spawn(gateway.answer(link, name));
    }
    match fate {
        Fate::Ambiguous(None) => return (StatusCode::BAD_GATEWAY, Json(json!({ "code": "ROUTE" }))),
        Fate::Ambiguous(Some(after)) => crate::pause(after).await,
        Fate::Good | Fate::TurnedAway | Fate::TooMany => {}
    }
    (StatusCode::OK, Json(json!({ "code": "OK" })))
}

async fn find(State(gateway): State<Gateway>, headers: HeaderMap, Path(id): Path<Uuid>) -> (StatusCode, Json<Value>) {
    if !gateway.knows(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": "KEY" })));
    }
    match gateway.messages.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(message) => {
            // The operator gives up late.
            let failed = gateway.moods.undeliverable().get(&id).copied();
            let status = match failed {
                None => "delivered",
                Some(taken) if crate::now() - taken < GIVES_UP => "accepted",
                Some(_) => "failed",
            };
            (StatusCode::OK, Json(json!({ "code": "OK", "status": status, "id": message.id })))
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "code": "ABSENT" }))),
    }
}
