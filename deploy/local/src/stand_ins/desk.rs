//! The phone desk: the head of the governance centre, who works off call tasks as they come and records each call.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, Ledger, Seen};
use crate::issuer::{Issuer, Person};

/// Works until the process ends. `notifications` are the replicas' addresses.
pub fn start(ledger: Ledger, issuer: &Issuer, notifications: Vec<String>) -> anyhow::Result<()> {
    let person = Person { sub: "centre-head".into(), roles: vec!["centre".into()], ..Person::default() };
    let desk = Desk { http: reqwest::Client::new(), token: issuer.token(&person)?, notifications, ledger };
    tokio::spawn(desk.work());
    Ok(())
}

struct Desk {
    http: reqwest::Client,
    token: String,
    notifications: Vec<String>,
    ledger: Ledger,
}

impl Desk {
    async fn work(self) {
        let mut known = HashSet::new();
        loop {
            let open = json!({ "state": "CALL_TASK_STATE_OPEN", "pageSize": 100 });
            let listed = self.call("ListCallTasks", &open).await.unwrap_or_default();
            for task in listed["callTasks"].as_array().into_iter().flatten() {
                let id = task["callTaskId"].as_str().unwrap_or_default().to_owned();
                if known.insert(id.clone()) {
                    self.make(&id, task).await;
                } else {
                    self.record(&id).await;
                }
            }
            crate::pause(Duration::from_millis(20)).await;
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
        self.record(id).await;
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
