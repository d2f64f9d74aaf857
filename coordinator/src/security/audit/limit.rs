//! How many refusals are kept: some at once, then so many a second. Pure.

/// At once.
const BURST: u64 = 100;
/// Then one in so many milliseconds.
const MILLIS_EACH: u64 = 200;

/// A bucket of so many, which fills up with time.
#[derive(Debug)]
pub(super) struct Limit {
    left: u64,
    filled_at: u64,
    left_out: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { left: BURST, filled_at: 0, left_out: 0 }
    }
}

impl Limit {
    /// Whether one more is kept at this moment, and how many before it were not.
    pub(super) fn take(&mut self, millis: u64) -> Option<u64> {
        let earned = millis.saturating_sub(self.filled_at) / MILLIS_EACH;
        self.left = self.left.saturating_add(earned).min(BURST);
        self.filled_at = self.filled_at.saturating_add(earned * MILLIS_EACH);
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut limit = Limit::default();
        let kept = (0..1000).filter(|_| limit.take(0).is_some()).count();
        assert_eq!(kept as u64, BURST);
        assert_eq!(limit.take(MILLIS_EACH - 1), None);
        assert_eq!(limit.take(MILLIS_EACH), Some(1000 - BURST + 1));
        assert_eq!(limit.take(MILLIS_EACH), None);
        assert_eq!(limit.take(u64::MAX), Some(1));
        assert_eq!((0..1000).filter(|_| limit.take(u64::MAX).is_some()).count() as u64, BURST - 1);
    }
}
