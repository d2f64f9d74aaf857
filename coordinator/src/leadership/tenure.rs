//! Until when a leader may answer, by its own clock.
//!
//! Set by the keeper's thread, looked at before each answer. An answer is right if the tenure held when it was made: only
//! after that can another have changed what it tells.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The right to answer; cheap to clone and to look at.
#[derive(Debug, Clone)]
pub(crate) struct Tenure {
    base: Instant,
    /// Nanoseconds after `base`.
    until: Arc<AtomicU64>,
}

impl Tenure {
    /// Of a coordinator that has its store to itself.
    pub(crate) fn unlimited() -> Self {
        Self { base: Instant::now(), until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Until this instant, unless it is extended.
    pub(crate) fn until(end: Instant) -> Self {
        let tenure = Self { base: Instant::now(), until: Arc::default() };
        tenure.extend(end);
        tenure
    }

    /// Makes it last longer, never shorter.
    pub(crate) fn extend(&self, end: Instant) {
        self.until.fetch_max(nanos(end.saturating_duration_since(self.base)), Ordering::Release);
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether it lasts.
    pub(crate) fn holds(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == u64::MAX || nanos(self.base.elapsed()) < until
    }
}

fn nanos(duration: Duration) -> u64 {
    // Five hundred years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_as_long_as_it_was_last_given() {
        assert!(Tenure::unlimited().holds());
        let now = Instant::now();
        assert!(!Tenure::until(now).holds());
        let tenure = Tenure::until(now + Duration::from_secs(100));
        let seen = tenure.clone();
        tenure.extend(now);
        assert!(seen.holds(), "never shorter");
        tenure.end();
        assert!(!seen.holds());
        tenure.extend(now + Duration::from_secs(100));
        assert!(seen.holds());
    }
}
