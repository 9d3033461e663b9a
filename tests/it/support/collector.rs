//! A collector of spans: OTLP over gRPC, like the real ones.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::server::{Server, TcpIncoming};

use super::{SOON, eventually};

#[derive(Clone, Debug, Default)]
struct Book(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Book {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let groups = request.into_inner().resource_spans.into_iter().flat_map(|group| group.scope_spans);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(groups.flat_map(|group| group.spans));
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A running collector; ends when dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    book: Book,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let book = Book::default();
        let served = TraceServiceServer::new(book.clone());
        let incoming = runtime.block_on(async { TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap() });
        let address = incoming.local_addr().unwrap();
        drop(runtime.spawn(Server::builder().add_service(served).serve_with_incoming(incoming)));
        Self { address, book, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.book.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until at least `count` spans have come.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Span> {
        let what = format!("{count} spans at the collector");
        eventually(&what, SOON, || (self.spans().len() >= count).then(|| self.spans()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns an attribute of a span, as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}
