//! One trace runs from BlowWhistle to the SMS, as a collector sees it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use local::demo::{Screen, play};
use local::stack::{Options, Stack};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use testing::{eventually, run};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let name = format!("{:?}", name.and_then(|name| name.value));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| (name.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Sink {
    fn traces(&self, service: &str, span: &str) -> Vec<Vec<u8>> {
        let spans = self.0.lock().unwrap();
        let of = spans.iter().filter(|(name, one)| name.contains(service) && one.name.contains(span));
        of.map(|(_, one)| one.trace_id.clone()).collect()
    }
}

#[test]
fn one_trace_runs_from_blow_whistle_to_the_sms_and_from_the_last_rung_to_the_push() {
    run(async {
        let sink = Sink::default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(sink.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint)];
        let stack = Stack::start(&Options { env, ..system_tests::options() }).await.unwrap();
        assert!(play(&stack, Duration::from_millis(200), None, &Screen::Nobody).await.unwrap());
        let joined = || async {
            let blown = sink.traces("dispatch", "BlowWhistle");
            let (received, sent) =
                (sink.traces("notifications", "receive"), sink.traces("notifications", "deliver sms"));
            blown.iter().any(|trace| received.contains(trace) && sent.contains(trace))
        };
        eventually("a trace with BlowWhistle at dispatch and the SMS at notifications", joined).await;
        let pushed = || async {
            let (received, pushed) = (sink.traces("oversight", "receive"), sink.traces("oversight", "deliver push"));
            pushed.iter().any(|trace| received.contains(trace))
        };
        eventually("a trace with the last rung and the push at oversight", pushed).await;
        stack.stop().await;
    });
}
