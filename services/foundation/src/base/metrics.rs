//! What is counted; exported where telemetry has an endpoint.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

/// How long calls take, by method and by the gRPC code of their answer; seconds.
static CALLS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("haiqu");
    meter
        .f64_histogram("rpc.server.call.duration")
        .with_unit("s")
        .with_description("Duration of calls answered")
        .build()
});

/// How many events were received, by subject and by what became of them.
static RECEIVED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("haiqu");
    meter
        .u64_counter("messaging.client.consumed.messages")
        .with_unit("{message}")
        .with_description("Events received")
        .build()
});

/// How late effects are, by kind; seconds.
static LATENESS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("haiqu");
    meter
        .f64_histogram("haiqu.effect.lateness")
        .with_unit("s")
        .with_description("Time from an effect's due time until it happened")
        .build()
});

/// A call was answered.
pub fn call(method: &str, code: tonic::Code, took: Duration) {
    let code = KeyValue::new("rpc.response.status_code", format!("{code:?}"));
    CALLS.record(took.as_secs_f64(), &[KeyValue::new("rpc.method", method.to_owned()), code]);
}

/// An event was received.
pub fn received(subject: &str, outcome: &'static str) {
    let destination = KeyValue::new("messaging.destination.name", subject.to_owned());
    RECEIVED.add(1, &[destination, KeyValue::new("messaging.system", "nats"), KeyValue::new("outcome", outcome)]);
}

/// An effect happened.
pub fn late(kind: &'static str, by: chrono::TimeDelta) {
    LATENESS.record(by.as_seconds_f64(), &[KeyValue::new("kind", kind)]);
}
