//! The W3C trace context: it rides on gRPC metadata, in the outbox row, in NATS headers and wherever work is stored for later, so that one
//! trace runs from the call to the last effect.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The current span as a W3C `traceparent`; none when nothing is traced.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    context.span().span_context().is_valid().then_some(())?;
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove("traceparent")
}

/// Makes the span a child of what stored or sent this `traceparent`.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    // Fails only when the span is not recorded; then there is no trace to continue.
    let _ = span.set_parent(context);
}
