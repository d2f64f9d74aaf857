//! When to say that the worker is alive, and when to give a session up. Pure.
//!
//! The instant at which the lease ends is reckoned from the sending of a keep-alive that was answered, so it is never
//! later than the coordinator's. One answer may stand for several keep-alives: the oldest of them counts. The next
//! keep-alive is due after a third of what is left, not of the whole: while answers fail to come, keep-alives come closer
//! together.

use std::time::{Duration, Instant};

/// Between these a length of lease is believed.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Keep-alives come no closer together than this, however little is left.
const CLOSEST: Duration = Duration::from_millis(20);

/// The lease of a session that lives.
#[derive(Debug)]
pub(super) struct Lease {
    patience: Duration,
    ends: Instant,
    due: Instant,
    /// When the oldest unanswered keep-alive was sent.
    unheard: Option<Instant>,
}

impl Lease {
    /// A lease granted now. `chance` from 0 to 1 spreads the keep-alives of many workers.
    pub(super) fn new(patience: Duration, now: Instant, chance: f64) -> Self {
        let patience = patience.clamp(*PATIENCE.start(), *PATIENCE.end());
        let mut lease = Self { patience, ends: now + patience, due: now, unheard: None };
        lease.schedule(now, chance);
        lease
    }

    /// When it ends unless a keep-alive is answered.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// When the next keep-alive is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether every keep-alive so far was answered.
    pub(super) fn is_heard(&self) -> bool {
        self.unheard.is_none()
    }

    /// Sets when the next keep-alive is due, counted from now.
    pub(super) fn schedule(&mut self, now: Instant, chance: f64) {
        let third = self.ends.saturating_duration_since(now) / 3;
        self.due = now + third.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0)).max(CLOSEST);
    }

    /// A keep-alive is sent now.
    pub(super) fn sent(&mut self, now: Instant) {
        self.unheard.get_or_insert(now);
    }

    /// What was sent so far is answered.
    pub(super) fn heard(&mut self, now: Instant, chance: f64) {
        if let Some(sent) = self.unheard.take() {
            self.ends = self.ends.max(sent + self.patience);
            self.schedule(now, chance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_come_closer_together_until_one_is_heard() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut lease = Lease::new(Duration::from_secs(9), start, 0.5);
        assert_eq!(lease.due(), at(3000));
        for (sent, next) in [(3000, 5000), (5000, 6333), (6333, 7222)] {
            lease.schedule(at(sent), 0.5);
            lease.sent(at(sent));
            assert!(lease.due() >= at(next) && lease.due() < at(next + 2), "after {sent} ms");
        }
        assert_eq!(lease.ends(), at(9000));
        lease.heard(at(7500), 0.5);
        assert_eq!((lease.ends(), lease.due()), (at(12_000), at(9000)));
        lease.heard(at(7501), 0.5);
        assert_eq!(lease.ends(), at(12_000), "an answer to nothing changes nothing");
        assert!(lease.is_heard());
        lease.sent(at(8500));
        assert!(!lease.is_heard());
        lease.heard(at(8500), 0.0);
        assert_eq!((lease.ends(), lease.due()), (at(17_500), at(10_900)));
    }

    #[test]
    fn a_senseless_length_is_brought_within_reason() {
        let now = Instant::now();
        for (told, believed) in [(0, 100), (u64::from(u32::MAX), 3_600_000)] {
            let lease = Lease::new(Duration::from_millis(told), now, 0.5);
            assert_eq!(lease.ends() - now, Duration::from_millis(believed));
            assert!(lease.due() > now);
        }
    }
}
