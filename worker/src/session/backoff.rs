//! How long to wait before the next try to reach the coordinator. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The wait after so many failed tries in a row: it doubles up to `longest`, and `chance` from 0 to 1 takes up to half of it
/// off, so that the workers that lost one coordinator do not all come back at once.
pub(super) fn delay(failures: u32, longest: Duration, chance: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(16)).min(longest.clamp(FIRST, LONGEST));
    whole.mul_f64(1.0 - 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds_and_are_spread() {
        for (failures, longest) in [(0, 50), (1, 100), (4, 800), (6, 3200), (7, 5000), (u32::MAX, 5000)] {
            assert_eq!(delay(failures, Duration::MAX, 0.0), Duration::from_millis(longest));
            assert_eq!(delay(failures, Duration::MAX, 1.0), Duration::from_millis(longest) / 2);
        }
        assert_eq!(delay(9, Duration::from_millis(700), 0.0), Duration::from_millis(700));
        assert_eq!(delay(9, Duration::ZERO, 0.0), FIRST);
    }
}
