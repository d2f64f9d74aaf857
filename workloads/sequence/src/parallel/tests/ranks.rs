//! Ranks as threads of the test.

use std::{panic::resume_unwind, sync::Arc, thread};

use braid_workload::{Exchange, exchange::local};

/// Runs a program on so many ranks; results in rank order. A rank that panics leaves the exchange, and the test panics after it.
pub(super) fn on_ranks<R: Send>(size: usize, program: impl Fn(Arc<dyn Exchange>) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let program = &program;
        let ranks: Vec<_> = local::group(size).into_iter().map(|rank| scope.spawn(move || program(Arc::new(rank)))).collect();
        let ended: Vec<_> = ranks.into_iter().map(|rank| rank.join()).collect();
        ended.into_iter().map(|end| end.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
