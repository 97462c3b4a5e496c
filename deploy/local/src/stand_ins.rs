//! Stand-ins for the outside world: SMS gateway with the phones behind it, 阳光+, phone desk. Each speaks the protocol of
//! the real one over real sockets and keeps a log of what it truly received, one JSON object a line.

pub mod desk;
pub mod gateway;
mod mood;
pub mod platform;

pub use mood::{Mood, Moods};

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Something that a stand-in received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: Kind,
    /// The effect's name, or the assignment of an answer.
    pub id: String,
    /// Whom it is for: a number, a name.
    pub to: String,
    /// What it says.
    pub text: String,
    /// What the services said in return, where that is what counts: the time of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<DateTime<Utc>>,
}

/// What a stand-in can receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A message at the gateway.
    Sms,
    /// A phone is about to answer by the link.
    Answering,
    /// The answer by the link was confirmed.
    Answer,
    /// A call task at the desk.
    Call,
    /// A case at 阳光+.
    Push,
    /// A correction at 阳光+.
    Correction,
}

type Hook = dyn Fn(&Seen) -> BoxFuture<'static, ()> + Send + Sync;

/// The logs of all stand-ins.
#[derive(Clone)]
pub struct Ledger {
    /// The files.
    pub files: Vec<PathBuf>,
    gateway: Arc<Mutex<File>>,
    platform: Arc<Mutex<File>>,
    desk: Arc<Mutex<File>>,
    seen: broadcast::Sender<Seen>,
    hook: Arc<Mutex<Option<Arc<Hook>>>>,
    count: Arc<AtomicUsize>,
}

impl Ledger {
    /// New files in this folder.
    pub fn create(folder: &std::path::Path) -> anyhow::Result<Ledger> {
        let files: Vec<_> =
            ["sms-gateway", "platform", "phone-desk"].map(|name| folder.join(format!("{name}.jsonl"))).into();
        let open = |path: &PathBuf| File::create(path).map(|file| Arc::new(Mutex::new(file)));
        Ok(Ledger {
            gateway: open(&files[0])?,
            platform: open(&files[1])?,
            desk: open(&files[2])?,
            files,
            seen: broadcast::channel(65_536).0,
            hook: Arc::default(),
            count: Arc::default(),
        })
    }

    /// How much was received so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// For whoever will listen later.
    pub fn sender(&self) -> broadcast::Sender<Seen> {
        self.seen.clone()
    }

    /// Tells of everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Runs something on everything received, before it is confirmed to the sender.
    pub fn on_seen(&self, hook: impl Fn(&Seen) -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Writes down what was received, then tells of it.
    pub async fn record(&self, seen: Seen) -> anyhow::Result<()> {
        let file = match seen.kind {
            Kind::Sms | Kind::Answering | Kind::Answer => &self.gateway,
            Kind::Push | Kind::Correction => &self.platform,
            Kind::Call => &self.desk,
        };
        let mut line = serde_json::to_string(&seen)?;
        line.push('\n');
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        self.count.fetch_add(1, Ordering::Relaxed);
        // Nobody may be listening.
        let _ = self.seen.send(seen.clone());
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(&seen).await;
        }
        Ok(())
    }

    /// Everything received so far, from the files.
    pub fn read(&self) -> anyhow::Result<Vec<Seen>> {
        let mut all = Vec::new();
        for file in &self.files {
            for line in std::fs::read_to_string(file)?.lines() {
                all.push(serde_json::from_str(line)?);
            }
        }
        all.sort_by_key(|seen: &Seen| seen.at);
        Ok(all)
    }
}
