//! A collector of OpenTelemetry inside the test: takes spans in over gRPC, and says what came.
//!
//! It reads the few fields of the protocol that tests ask for, by their numbers in `opentelemetry/proto/trace/v1/trace.proto`,
//! and not with the library that wrote them.

use prost::Message;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, body::Body, codegen::BoxFuture, codegen::http, server::UnaryService};

/// A span that came in.
#[derive(Debug, Clone)]
pub(crate) struct SentSpan {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: none.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// The collector; it ends with the value.
pub(crate) struct Collector {
    address: SocketAddr,
    spans: Spans,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SentSpan>>>);

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let spans = Spans::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = tonic::transport::Server::builder().add_service(spans.clone());
        runtime.spawn(serve.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, spans, _runtime: runtime }
    }

    /// The environment of a process that is to send its spans here, soon after they end.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{}", self.address));
        vec![endpoint, ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "50".to_owned())]
    }

    /// What has come so far.
    pub(crate) fn spans(&self) -> Vec<SentSpan> {
        self.spans.0.lock().unwrap().clone()
    }
}

impl tonic::server::NamedService for Spans {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl tower::Service<http::Request<Body>> for Spans {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let export = Export(self.clone());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::<ExportReply, ExportRequest>::default());
            Ok(grpc.unary(export, request).await)
        })
    }
}

struct Export(Spans);

impl UnaryService<ExportRequest> for Export {
    type Response = ExportReply;
    type Future = std::future::Ready<Result<Response<ExportReply>, Status>>;

    fn call(&mut self, request: Request<ExportRequest>) -> Self::Future {
        let mut spans = self.0.0.lock().unwrap();
        for group in request.into_inner().groups {
            let about = text(group.resource.unwrap_or_default().attributes);
            let service = about.get("service.name").cloned().unwrap_or_default();
            for span in group.scopes.into_iter().flat_map(|scope| scope.spans) {
                spans.push(SentSpan {
                    service: service.clone(),
                    trace: hex(&span.trace),
                    id: hex(&span.id),
                    parent: hex(&span.parent),
                    name: span.name,
                    attributes: text(span.attributes),
                    begin: span.begin,
                    end: span.end,
                });
            }
        }
        std::future::ready(Ok(Response::new(ExportReply {})))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: Vec<Attribute>) -> HashMap<String, String> {
    let value = |value: Value| match (value.text, value.whole, value.double) {
        (Some(text), _, _) => text,
        (_, Some(whole), _) => whole.to_string(),
        (_, _, double) => double.unwrap_or_default().to_string(),
    };
    attributes.into_iter().map(|attribute| (attribute.key, value(attribute.value.unwrap_or_default()))).collect()
}

#[derive(Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<Group>,
}

#[derive(Message)]
struct ExportReply {}

#[derive(Message)]
struct Group {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Message)]
struct Scope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    begin: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
}

#[derive(Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

#[derive(Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    whole: Option<i64>,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
}
