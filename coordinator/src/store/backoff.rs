//! How long to wait before another try, and what to say meanwhile.

use super::StoreError;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that grow, with jitter so that many clients of one store do not return together; and one line in the log for
/// each new kind of trouble, not for each try.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
    said: Option<String>,
}

impl Backoff {
    /// Notes a failed try of `who` and returns how long to wait.
    pub(crate) fn failed(&mut self, who: &str, error: &StoreError) -> Duration {
        let line = error.line();
        if self.said.as_ref() != Some(&line) {
            tracing::warn!("{who} waits for the store: {line}");
            self.said = Some(line);
        }
        let wait = wait(self.tries, fastrand::f64());
        self.tries = self.tries.saturating_add(1);
        wait
    }

    /// Notes that it works again.
    pub(crate) fn worked(&mut self, who: &str) {
        if self.said.take().is_some() {
            tracing::info!("{who} goes on: the store works again");
        }
        self.tries = 0;
    }
}

/// The wait before try number `tries` (from 0), with `jitter` from 0 to 1: between half and all of a doubling time.
fn wait(tries: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST);
    doubled.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_vary_by_half() {
        let millis = |tries, jitter| wait(tries, jitter).as_secs_f64() * 1000.0;
        assert_eq!([millis(0, 1.0), millis(1, 1.0), millis(4, 1.0)], [10.0, 20.0, 160.0]);
        assert_eq!([millis(0, 0.0), millis(4, 0.5)], [5.0, 120.0]);
        assert_eq!([millis(9, 1.0), millis(31, 1.0), millis(u32::MAX, 1.0)], [5000.0; 3]);
    }
}
