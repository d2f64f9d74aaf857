//! Sends spans to an OpenTelemetry collector, over gRPC, as the standard variables say.
//!
//! | variable | what it does here |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT` | where the collector is; without either, no traces are made |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | none are made all the same |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | who says so; the name is the role unless said otherwise |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`; `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` | as OpenTelemetry has them |

use super::TraceContext;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use std::env;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// Of the crates of this workspace, whose spans are traces; others' are of no use to an operator.
const OURS: &str = "braid";
/// Either says where the collector is.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What sends the spans of this process. Ended with [`finish`](Exporter::finish), so that the last of them are not lost.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Exporter {
    /// Starts it as the environment says; `None` when no collector is named. Must be called inside a runtime of tokio, which the
    /// connection lives on.
    ///
    /// # Errors
    /// What is wrong with the variables, for people.
    pub fn start(role: &'static str, version: &'static str) -> Result<Option<Self>, String> {
        if !is_wanted(|name| env::var(name).ok()) {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build();
        let exporter = exporter.map_err(|error| format!("traces cannot be sent: {error}"))?;
        let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", version));
        if env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(role);
        }
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        let tracer = provider.tracer(OURS);
        Ok(Some(Self { provider, tracer }))
    }

    /// The layer of a subscriber that hands it the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_filter(filter_fn(is_traced))
    }

    /// Sends what is left. Blocks for as long as the collector takes, within the time that the variables allow.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Whether the variables ask for traces.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let elsewhere = set("OTEL_TRACES_EXPORTER").is_some_and(|value| value != "otlp");
    !disabled && !elsewhere && ENDPOINTS.iter().any(|name| set(name).is_some())
}

/// Whether this is a span of ours for operators.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with(OURS)
}

pub(super) fn of(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let place = context.span().span_context().clone();
    if !place.is_valid() {
        return None;
    }
    let flags = place.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", place.trace_id(), place.span_id()).parse().ok()
}

pub(super) fn adopt(span: &Span, parent: &TraceContext) {
    let text = parent.to_string();
    let mut fields = text.split('-').skip(1);
    let mut next = || fields.next().unwrap_or_default();
    let (Ok(trace), Ok(parent)) = (TraceId::from_hex(next()), SpanId::from_hex(next())) else { return };
    let flags = u8::from_str_radix(next(), 16).unwrap_or_default();
    let place = SpanContext::new(trace, parent, TraceFlags::new(flags), true, TraceState::NONE);
    // A span that is disabled, or has begun, keeps the parent that it has.
    let _ = span.set_parent(Context::new().with_remote_span_context(place));
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SpanData, SpanExporter},
    };
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    /// Keeps what it is to send.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_collector_must_be_named_and_not_ruled_out() {
        let wanted = |given: &[(&str, &str)]| {
            is_wanted(|name| given.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        assert!(wanted(&[endpoint]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }

    #[test]
    fn a_span_is_found_where_another_process_left_off() {
        let sent = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(sent.clone()).build();
        let exporter = Exporter { tracer: provider.tracer(OURS), provider };
        let parent: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        let place = tracing::subscriber::with_default(tracing_subscriber::registry().with(exporter.layer()), || {
            let span = tracing::info_span!(target: "braid", "attempt");
            adopt(&span, &parent);
            let _inside = span.enter();
            drop(tracing::debug_span!(target: "braid", "too fine"));
            drop(tracing::info_span!(target: "h2", "not ours"));
            of(&Span::current()).unwrap().to_string()
        });
        let spans = sent.0.lock().unwrap();
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((span.name.as_ref(), span.parent_span_id.to_string().as_str()), ("attempt", "b7ad6b7169203331"));
        assert_eq!(place, format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", span.span_context.span_id()));
    }
}
