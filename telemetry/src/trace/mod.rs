//! Traces: which steps a job took, in which process, and how long each was.
//!
//! ```text
//!   verb ─▶ submit ─▶ plan                       the command line, the coordinator
//!              └────▶ placement ─▶ attempt ─▶ …  the coordinator, once for each attempt; the worker, and what the task does
//! ```
//! Spans are those of the crate `tracing`, made where things happen. What goes from one process to another, and into the record
//! of a job, is a [`TraceContext`]. With the feature `otel` and the variables of OpenTelemetry set, spans are sent to a collector;
//! without, none is made, and a context that comes in is only passed on.
//!
//! It is not the log: an event of the log is in no span, and a span is in no log.

mod context;
#[cfg(feature = "otel")]
mod export;

pub use context::{NotATraceparent, TraceContext};
#[cfg(feature = "otel")]
pub use export::Exporter;

use tonic::metadata::MetadataMap;
use tracing::Span;

/// The header of W3C Trace Context, which gRPC carries as metadata.
const HEADER: &str = "traceparent";

/// Where this span stands in its trace; `None` where no traces are made.
pub fn of(span: &Span) -> Option<TraceContext> {
    #[cfg(feature = "otel")]
    return export::of(span);
    #[cfg(not(feature = "otel"))]
    {
        let _ = span;
        None
    }
}

/// Makes `span` a child of a span of another process. To be called before the span is entered.
pub fn adopt(span: &Span, parent: Option<&TraceContext>) {
    #[cfg(feature = "otel")]
    if let Some(parent) = parent {
        export::adopt(span, parent);
    }
    #[cfg(not(feature = "otel"))]
    let _ = (span, parent);
}

/// Puts the place of the current span on a call.
pub fn carry(metadata: &mut MetadataMap) {
    if let Some(value) = of(&Span::current()).and_then(|context| context.to_string().parse().ok()) {
        metadata.insert(HEADER, value);
    }
}

/// The place from which a call was made, if it says so. What cannot be read counts as nothing: a trace is never a reason to refuse.
pub fn found(metadata: &MetadataMap) -> Option<TraceContext> {
    metadata.get(HEADER)?.to_str().ok()?.parse().ok()
}
