//! What the threads of a task do with their time, in a trace: read, compute, write.
//!
//! ```text
//!   attempt ─┬─ read     each from its first use to the end of the passes,
//!            ├─ kernel   with `busy_ms`: the time of all threads in it
//!            └─ write
//! ```
//! Tiles take their turns on all threads, so that a span for each would be thousands a second, and their times do not follow each
//! other. Nothing is measured where no traces are made.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tracing::{Span, field};

/// The phases of one task.
#[derive(Debug)]
pub struct Phases {
    /// Bytes of the inputs come in.
    pub read: Phase,
    /// A method works on a tile.
    pub kernel: Phase,
    /// Bytes of the output go out.
    pub write: Phase,
}

/// One of them.
#[derive(Debug)]
pub struct Phase {
    attempt: Span,
    begin: fn(&Span) -> Span,
    span: OnceLock<Span>,
    nanoseconds: AtomicU64,
}

impl Phases {
    /// Within the span that this thread is in.
    pub fn new() -> Self {
        let phase = |begin| Phase { attempt: Span::current(), begin, span: OnceLock::new(), nanoseconds: AtomicU64::new(0) };
        Self {
            read: phase(|attempt| tracing::info_span!(parent: attempt, "read", busy_ms = field::Empty)),
            kernel: phase(|attempt| tracing::info_span!(parent: attempt, "kernel", busy_ms = field::Empty)),
            write: phase(|attempt| tracing::info_span!(parent: attempt, "write", busy_ms = field::Empty)),
        }
    }
}

impl Default for Phases {
    fn default() -> Self {
        Self::new()
    }
}

impl Phase {
    /// Does a piece of its work.
    pub(super) fn of<R>(&self, work: impl FnOnce() -> R) -> R {
        if self.attempt.is_disabled() || self.span.get_or_init(|| (self.begin)(&self.attempt)).is_disabled() {
            return work();
        }
        let start = Instant::now();
        let done = work();
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
        done
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(span) = self.span.get() {
            span.record("busy_ms", *self.nanoseconds.get_mut() as f64 / 1e6);
        }
    }
}
