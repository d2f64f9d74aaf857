//! Where the engine's time comes from.

use crate::model::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock at the start, advanced by the monotonic one: a step of the system's clock ends no lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    base: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), base: u64::try_from(unix.as_millis()).unwrap_or(0) }
    }

    pub(super) fn now(&self) -> Millis {
        Millis(self.base) + self.start.elapsed()
    }
}
