//! Paired differences and how sure one can be of them. Pure.

use serde::{Deserialize, Serialize};

/// Differences of pairs: their mean, and the interval that holds the true mean with 95 % confidence (Student's t).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// How many pairs.
    pub pairs: usize,
    /// The mean difference.
    pub mean: f64,
    /// The lower end of the interval; none for a single pair.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Pairs whose difference is below zero.
    pub below: usize,
}

impl Paired {
    /// Of differences; none of none.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let pairs = differences.len();
        if pairs == 0 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / pairs as f64;
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let half = (pairs > 1).then(|| {
            let error = (squares / (pairs - 1) as f64 / pairs as f64).sqrt();
            quantile(pairs - 1) * error
        });
        let below = differences.iter().filter(|difference| **difference < 0.0).count();
        Some(Self { pairs, mean, low: half.map(|half| mean - half), high: half.map(|half| mean + half), below })
    }

    /// Whether the interval excludes zero.
    pub fn is_sure(&self) -> bool {
        matches!((self.low, self.high), (Some(low), Some(high)) if low > 0.0 || high < 0.0)
    }
}

/// The 97.5 % quantile of Student's t with 1 to 30 degrees of freedom.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
    2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// With more degrees, by the first two terms of its expansion around the normal quantile.
fn quantile(degrees: usize) -> f64 {
    let z = 1.959_964;
    let n = degrees as f64;
    let far = z + (z * z * z + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n);
    degrees.checked_sub(1).and_then(|index| QUANTILES.get(index)).copied().unwrap_or(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expansion_meets_the_table() {
        assert!((quantile(30) - 2.042).abs() < 1e-9);
        assert!((quantile(31) - 2.0395).abs() < 1e-3);
        assert!((quantile(1_000_000) - 1.96).abs() < 1e-3);
    }

    #[test]
    fn by_hand() {
        // 1, 2, 3: mean 2, deviation 1, error 1/√3, t(2) 4.303.
        let paired = Paired::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((paired.pairs, paired.mean, paired.below), (3, 2.0, 0));
        assert!((paired.high.unwrap() - (2.0 + 4.303 / 3f64.sqrt())).abs() < 1e-12);
        assert!(!paired.is_sure());
        assert!(Paired::of(&[1.0, 1.1, 0.9, 1.0]).unwrap().is_sure());
        let lone = Paired::of(&[-1.0]).unwrap();
        assert_eq!((lone.low, lone.below, lone.is_sure()), (None, 1, false));
        assert_eq!(Paired::of(&[]), None);
    }
}
