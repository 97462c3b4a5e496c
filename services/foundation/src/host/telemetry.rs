//! Logs as JSON lines on standard output; with an OTLP endpoint also traces, metrics and logs to it.
//!
//! The exporters' own libraries are kept out of the exported layers, or each
//! export would cause the next.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, filter};

use crate::base::config;

/// What must be flushed at the end.
#[derive(Debug, Default)]
pub struct Telemetry(Option<Providers>);

#[derive(Debug)]
struct Providers {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    logs: SdkLoggerProvider,
}

/// The exporters' own libraries stay below what is exported at any level that is asked for in general.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,tonic=info,tower=info,reqwest=info,rustls=info";

/// Starts logging, and exporting where the configuration names an endpoint.
pub fn start(service: &'static str, config: &config::Service) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.log))?;
    let registry = tracing_subscriber::registry().with(filter).with(tracing_subscriber::fmt::layer().json());
    let Some(endpoint) = &config.otlp_endpoint else {
        registry.init();
        return Ok(Telemetry(None));
    };
    let providers = exporters(service, endpoint)?;
    let spans = tracing_opentelemetry::layer().with_tracer(providers.traces.tracer("haiqu"));
    let logs = OpenTelemetryTracingBridge::new(&providers.logs);
    registry.with(spans).with(logs.with_filter(not_of_exporters())).init();
    opentelemetry::global::set_meter_provider(providers.metrics.clone());
    Ok(Telemetry(Some(providers)))
}

fn exporters(service: &'static str, endpoint: &str) -> anyhow::Result<Providers> {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let namespace = KeyValue::new("service.namespace", "haiqu");
    let resource = Resource::builder().with_service_name(service).with_attributes([version, namespace]).build();
    let traces = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let metrics = opentelemetry_otlp::MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let logs = opentelemetry_otlp::LogExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    Ok(Providers {
        traces: SdkTracerProvider::builder().with_batch_exporter(traces).with_resource(resource.clone()).build(),
        metrics: SdkMeterProvider::builder().with_periodic_exporter(metrics).with_resource(resource.clone()).build(),
        logs: SdkLoggerProvider::builder().with_batch_exporter(logs).with_resource(resource).build(),
    })
}

/// Logs of the exporters themselves are not exported: each would cause the next. The span layer needs no such filter, for
/// those libraries' spans are quiet; and beside another filtered layer it would lose most of ours.
fn not_of_exporters() -> filter::FilterFn {
    const EXPORTERS: [&str; 5] = ["h2", "hyper", "tonic", "tower", "opentelemetry"];
    filter::filter_fn(|metadata| !EXPORTERS.iter().any(|library| metadata.target().starts_with(library)))
}

impl Telemetry {
    /// Sends what is still held back; gives up after some seconds.
    pub async fn flush(self) {
        let Some(providers) = self.0 else { return };
        let flushing = tokio::task::spawn_blocking(move || {
            let ended = [
                providers.traces.shutdown().is_ok(),
                providers.metrics.shutdown().is_ok(),
                providers.logs.shutdown().is_ok(),
            ];
            if ended.contains(&false) {
                tracing::warn!("the last telemetry was not delivered");
            }
        });
        if tokio::time::timeout(Duration::from_secs(5), flushing).await.is_err() {
            tracing::warn!("the last telemetry was not delivered in time");
        }
    }
}
