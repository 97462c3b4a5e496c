//! NATS JetStream: it makes events fast and is trusted with nothing. A lost acknowledgement, a wiped stream or a dead
//! server costs latency only, because every subscriber also reads the log ([`super::catch_up`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Context, Message, stream};
use async_nats::{Client, HeaderMap};
use futures::future::join_all;
use futures::{FutureExt as _, StreamExt as _};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::{JoinError, JoinHandle};

use super::envelope::Envelope;
use super::inbox::{self, Outcome};
use super::routes::Routes;
use crate::base::{Stop, stop};
use crate::data::{Db, Session};

/// The one stream.
const STREAM: &str = "HAIQU";
/// What a consumer took and did not acknowledge comes to another after this time: it is a dead process's, or the inbox drops it.
const REDELIVERED: Duration = Duration::from_millis(700);
/// Shorter than any outbox keeps its events, which is shorter than any inbox remembers them.
const MAX_AGE: Duration = Duration::from_secs(3 * 24 * 3600);

/// A connection that comes and goes by itself.
#[derive(Debug, Clone)]
pub struct Bus {
    client: Client,
    jetstream: Context,
}

impl Bus {
    /// Whether NATS is reachable now.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    #[expect(clippy::disallowed_methods, reason = "the relay is the one publisher")]
    pub(crate) async fn publish(&self, events: Vec<Envelope>) -> anyhow::Result<()> {
        let mut pending = Vec::with_capacity(events.len());
        for event in events {
            let headers = headers(&event);
            let message =
                PublishMessage::build().payload(event.payload).headers(headers).message_id(event.id.to_string());
            pending.push(self.jetstream.send_publish(event.subject, message).await?);
        }
        for acknowledgement in pending {
            if let Err(error) = acknowledgement.await {
                // The stream may be gone with its store; it is made again and the batch is published again.
                self.stream().await?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Tells other replicas of a service that its log has grown. Lost where nobody listens: they also look by themselves.
    #[expect(clippy::disallowed_methods, reason = "a hint is no event: nothing depends on it")]
    pub(super) async fn hint(&self, service: &str) {
        if self.connected()
            && let Err(error) = self.client.publish(hint_subject(service), Vec::new().into()).await
        {
            tracing::debug!(%error, "a hint is lost");
        }
    }

    /// The hints of a service.
    pub(super) async fn hints(&self, service: &str) -> anyhow::Result<async_nats::Subscriber> {
        Ok(self.client.subscribe(hint_subject(service)).await?)
    }

    async fn stream(&self) -> anyhow::Result<stream::Stream> {
        let config = stream::Config {
            name: STREAM.into(),
            subjects: vec!["haiqu.>".into()],
            max_age: MAX_AGE,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        Ok(self.jetstream.get_or_create_stream(config).await?)
    }

    async fn consumer(&self, routes: &Routes) -> anyhow::Result<PullConsumer> {
        let config = pull::Config {
            durable_name: Some(routes.consumer.into()),
            filter_subjects: routes.subjects().map(Into::into).collect(),
            ack_policy: AckPolicy::Explicit,
            // What was published before is read from the logs, as far as it concerns us.
            deliver_policy: DeliverPolicy::New,
            ack_wait: REDELIVERED,
            max_deliver: -1,
            ..pull::Config::default()
        };
        // Creates it, or gives it the subjects that this release subscribes to.
        Ok(self.stream().await?.create_consumer(config).await?)
    }
}

/// Connects in the background: a service starts and works without NATS.
pub async fn connect(url: &SecretString, name: &str) -> anyhow::Result<Bus> {
    let client = async_nats::ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| Duration::from_millis(50 * (1 << attempts.min(5))))
        .connect(url.expose_secret())
        .await?;
    let jetstream = async_nats::jetstream::new(client.clone());
    Ok(Bus { client, jetstream })
}

/// Outside of the stream's subjects.
fn hint_subject(service: &str) -> String {
    format!("haiqu-hint.{service}")
}

fn headers(event: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-type", event.subject.clone());
    headers.insert("ce-source", format!("/haiqu/{}", event.subject.split('.').nth(1).unwrap_or_default()));
    headers.insert("ce-subject", event.aggregate.clone());
    headers.insert("ce-time", event.occurred_at.to_rfc3339());
    headers.insert("ce-datacontenttype", "application/protobuf");
    headers.insert("haiqu-position", event.position.to_string());
    if let Some(traceparent) = &event.traceparent {
        headers.insert("traceparent", traceparent.clone());
    }
    headers
}

fn read(message: &async_nats::Message) -> Option<Envelope> {
    let headers = message.headers.as_ref()?;
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    Some(Envelope {
        id: header("ce-id")?.parse().ok()?,
        subject: message.subject.to_string(),
        aggregate: header("ce-subject")?.to_owned(),
        payload: message.payload.clone(),
        traceparent: header("traceparent").map(str::to_owned),
        occurred_at: header("ce-time")?.parse().ok()?,
        position: header("haiqu-position")?.parse().ok()?,
    })
}

/// Receives events until told to stop; whatever ends the subscription, it is built again. What was applied and acknowledged, and is undone
/// by a crash of the server before it was safe, is past the watermark of catch-up, which is written after it.
pub async fn subscribe(db: Db, bus: Bus, routes: Routes, stop: Stop) -> anyhow::Result<()> {
    while !stop.requested() {
        let ended = tokio::select! {
            () = stop.wait() => return Ok(()),
            ended = consume(db.session(), &bus, &routes, &stop) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(error = %format!("{error:#}"), "subscription ended, building it again");
        }
        let jitter = rand::rng().random_range(0..200);
        stop.pause(Duration::from_millis(300 + jitter)).await;
    }
    Ok(())
}

async fn consume(mut session: Session, bus: &Bus, routes: &Routes, stop: &Stop) -> anyhow::Result<()> {
    let consumer = bus.consumer(routes).await?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(inbox::BATCH)
        .heartbeat(Duration::from_secs(2))
        .expires(Duration::from_secs(10))
        .messages()
        .await?;
    while !stop.requested() {
        let first = messages.next().await.ok_or_else(|| anyhow::anyhow!("the subscription is gone"))??;
        let (mut batch, mut broken, began) = (vec![first], Ok(()), Instant::now());
        // What has arrived meanwhile is applied with it.
        while batch.len() < inbox::BATCH
            && let Some(Some(next)) = messages.next().now_or_never()
        {
            match next {
                Ok(next) => batch.push(next),
                Err(error) => {
                    broken = Err(error);
                    break;
                }
            }
        }
        let batch = Arc::new(batch);
        // A task of its own: a stop ends the waiting, not the work in progress.
        let handled = tokio::spawn(handle(session, routes.clone(), batch.clone()));
        session = in_progress(handled, &batch).await?;
        broken?;
        stop::idle(began, routes.idle).await;
    }
    Ok(())
}

/// Waits for the work on these messages; while it takes long, nobody else is to be given them.
async fn in_progress<T>(mut work: JoinHandle<T>, messages: &[Message]) -> Result<T, JoinError> {
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = stop::pause(REDELIVERED / 2) => {
                join_all(messages.iter().map(|message| message.ack_with(AckKind::Progress))).await.into_iter().for_each(acknowledged);
            }
        }
    }
}

async fn handle(mut session: Session, routes: Routes, messages: Arc<Vec<Message>>) -> Session {
    let (mut ours, mut events) = (Vec::new(), Vec::new());
    for message in messages.iter() {
        match read(message) {
            Some(event) => {
                events.push(event);
                ours.push(message);
            }
            None => {
                tracing::error!(subject = %message.subject, "not one of our events: its headers are missing or wrong; dropped");
                acknowledged(message.ack_with(AckKind::Term).await);
            }
        }
    }
    let outcomes = inbox::apply_all(&mut session, &routes, &events).await;
    let answers = ours.iter().zip(outcomes).map(async |(message, outcome)| match outcome {
        // Not awaited further: what is acknowledged in vain comes again, and the inbox drops it.
        Outcome::Handled => message.ack().await,
        Outcome::Retry => {
            let attempts = message.info().map(|info| info.delivered).unwrap_or(1).clamp(1, 8);
            message.ack_with(AckKind::Nak(Some(Duration::from_millis(50 << attempts)))).await
        }
    });
    join_all(answers).await.into_iter().for_each(acknowledged);
    session
}

fn acknowledged(answered: Result<(), async_nats::Error>) {
    if let Err(error) = answered {
        tracing::debug!(%error, "acknowledgement lost; the event comes again and the inbox drops it");
    }
}
