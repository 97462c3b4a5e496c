//! The phone desk: the head of the governance centre, who works off call tasks as they come and records each call.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, Ledger, Seen};
use crate::issuer::{Issuer, Person};

/// How often the desk is looked at; more often than people would, but no load to speak of.
const LOOKS: Duration = Duration::from_millis(250);

/// Works until the process ends. `notifications` are the replicas' addresses.
pub fn start(ledger: Ledger, issuer: &Issuer, notifications: Vec<String>) -> anyhow::Result<()> {
    let person = Person { sub: "centre-head".into(), roles: vec!["centre".into()], ..Person::default() };
    let desk = Desk { http: reqwest::Client::new(), token: issuer.token(&person)?, notifications, ledger };
    tokio::spawn(desk.work());
    Ok(())
}

#[derive(Clone)]
struct Desk {
    http: reqwest::Client,
    token: String,
    notifications: Vec<String>,
    ledger: Ledger,
}

impl Desk {
    /// Every task is made once, and recorded until it is no longer open; one person a call.
    async fn work(self) {
        let mut known = HashSet::new();
        let busy: Arc<Mutex<HashSet<String>>> = Arc::default();
        loop {
            for task in self.open().await {
                let id = task["callTaskId"].as_str().unwrap_or_default().to_owned();
                let new = known.insert(id.clone());
                if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) {
                    continue;
                }
                let (desk, busy) = (self.clone(), busy.clone());
                tokio::spawn(async move {
                    if new {
                        desk.make(&id, &task).await;
                    }
                    desk.record(&id).await;
                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                });
            }
            crate::pause(LOOKS).await;
        }
    }

    /// Every open task, page by page.
    async fn open(&self) -> Vec<Value> {
        let (mut tasks, mut token) = (Vec::new(), String::new());
        loop {
            let asked = json!({ "state": "CALL_TASK_STATE_OPEN", "pageSize": 100, "pageToken": token });
            let Some(page) = self.call("ListCallTasks", &asked).await else { return tasks };
            tasks.extend(page["callTasks"].as_array().cloned().unwrap_or_default());
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return tasks;
            }
        }
    }

    async fn make(&self, id: &str, task: &Value) {
        let text = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
        let to = format!("{} {}", text("calleeName"), text("calleePhone"));
        let seen =
            Seen { at: crate::now(), kind: Kind::Call, id: id.into(), to, text: text("script"), answered_at: None };
        if let Err(error) = self.ledger.record(seen).await {
            eprintln!("the desk's log cannot be written: {error}");
        }
    }

    /// Tried again with every round until the task is no longer open; the request id makes it one record.
    async fn record(&self, id: &str) {
        let request_id = Uuid::new_v5(&Uuid::parse_str(id).unwrap_or_default(), b"record");
        let called = crate::now().to_rfc3339();
        let record =
            json!({ "callerName": "综治中心主任", "callTime": called, "said": "已电话告知，对方表示立即办理。" });
        let body = json!({ "requestId": request_id, "callTaskId": id, "record": record });
        // A failed record is seen as a task that is still open.
        let _ = self.call("RecordCall", &body).await;
    }

    async fn call(&self, method: &str, body: &Value) -> Option<Value> {
        for address in &self.notifications {
            let url = format!("{address}/haiqu.notifications.v1.CallTaskService/{method}");
            let sent =
                self.http.post(url).bearer_auth(&self.token).timeout(Duration::from_secs(2)).json(body).send().await;
            if let Ok(response) = sent
                && response.status().is_success()
            {
                return response.json().await.ok();
            }
        }
        None
    }
}
