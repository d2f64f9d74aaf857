//! What a call looks like in a trace.

use super::Operation;
use tracing::{Span, field};

/// Within `task`, of a call of this rank that moves `bytes` in all; its name is the operation's.
pub(super) fn span(task: &Span, operation: Operation, rank: usize, size: usize, bytes: usize) -> Span {
    tracing::info_span!(parent: task, "exchange", otel.name = field::display(operation), rank, size, bytes)
}
