//! The losses of one domain over its own tokens, in few points: when they are many, neighbours are joined. Not a log of steps.

use serde::{Deserialize, Serialize};

/// Means of `stride` reports each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    /// Tokens and loss.
    points: Vec<(f64, f64)>,
    /// Sums of the reports of the point that is still growing, and their number.
    open: (f64, f64, u64),
    stride: u64,
    most: usize,
}

impl History {
    /// So many points that the state of all domains stays within a record of the store.
    pub(super) fn new(domains: usize) -> Self {
        Self { points: vec![], open: (0.0, 0.0, 0), stride: 1, most: (1024 / domains.max(1)).clamp(16, 128) }
    }

    pub(super) fn add(&mut self, tokens: f64, loss: f64) {
        self.open.0 += tokens;
        self.open.1 += loss;
        self.open.2 += 1;
        if self.open.2 < self.stride {
            return;
        }
        let reports = self.open.2 as f64;
        self.points.push((self.open.0 / reports, self.open.1 / reports));
        self.open = (0.0, 0.0, 0);
        if self.points.len() >= self.most {
            let join = |pair: &[(f64, f64); 2]| ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0);
            self.points = self.points.as_chunks().0.iter().map(join).collect();
            self.stride = self.stride.saturating_mul(2);
        }
    }

    /// All whole points, tokens in units of `unit`.
    pub(super) fn points(&self, unit: f64) -> Vec<(f64, f64)> {
        self.points.iter().map(|&(tokens, loss)| (tokens / unit, loss)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small_and_even() {
        let mut history = History::new(64);
        (0..1000).for_each(|i| history.add(i as f64, 2.0 * i as f64));
        let points = history.points(1.0);
        assert!(points.len() < 16 && points.len() >= 7, "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[1].0 - pair[0].0 == history.stride as f64), "{points:?}");
        assert!(points.iter().all(|&(tokens, loss)| loss == 2.0 * tokens));
    }
}
