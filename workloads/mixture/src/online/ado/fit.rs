//! The law of one domain: `L(n) = e^ε + e^a n^{-α}`, fitted to logarithms of losses.

use crate::numerics::minimize_from;
use serde::{Deserialize, Serialize};

/// Where Huber's loss turns linear, in logarithms.
const DELTA: f64 = 1e-3;
/// Fewer points than parameters and one tell nothing.
const LEAST: usize = 4;

/// A law of learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Law {
    /// `ε`: the loss after all, as a logarithm.
    offset: f64,
    /// `a`.
    scale: f64,
    /// `α`.
    exponent: f64,
}

impl Law {
    /// `-dL/dn = α (L - e^ε) / n`, with `α` at least `least`.
    pub(super) fn slope(&self, n: f64, least: f64) -> f64 {
        self.exponent.max(least) * libm::exp(self.scale - self.exponent * libm::log(n)) / n
    }
}

/// Fits points `(n, loss)`; none where there are too few.
pub(super) fn fit(points: &[(f64, f64)]) -> Option<Law> {
    if points.len() < LEAST {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|&(n, loss)| (libm::log(n), libm::log(loss))).collect();
    let row = |parameters: &[f64], index: usize, gradient: &mut [f64]| {
        let (&[offset, scale, exponent], (n, loss)) = (parameters, logs[index]) else { return 0.0 };
        let (floor, reducible) = (libm::exp(offset), libm::exp(scale - exponent * n));
        let predicted = floor + reducible;
        gradient.copy_from_slice(&[floor / predicted, reducible / predicted, -n * reducible / predicted]);
        libm::log(predicted) - loss
    };
    let found = minimize_from(points.len(), &row, starts(), DELTA, (8, 300))?;
    let &[offset, scale, exponent] = found.parameters.as_slice() else { return None };
    Some(Law { offset, scale, exponent })
}

/// The grid of the authors' code: `ε` in [-2, 2), `a` in [-2, 6), `α` in [0, 0.8), eight each.
fn starts() -> impl Iterator<Item = Vec<f64>> {
    (0..512).map(|index| {
        let step = |divisor: usize| (index / divisor % 8) as f64;
        vec![-2.0 + 0.5 * step(1), -2.0 + step(8), 0.1 * step(64)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_law_that_made_the_points() {
        for (offset, scale, exponent) in [(0.8, 1.5, 0.5), (-0.5, 2.0, 0.25), (1.1, 0.4, 0.7)] {
            let law = |n: f64| f64::exp(offset) + f64::exp(scale) * n.powf(-exponent);
            let points: Vec<(f64, f64)> = (1..=60).map(|i| (i as f64 * 40.0, law(i as f64 * 40.0))).collect();
            let found = fit(&points).unwrap();
            for (found, wanted) in [(found.offset, offset), (found.scale, scale), (found.exponent, exponent)] {
                assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
            }
            let slope = f64::exp(scale) * exponent * 2400f64.powf(-exponent - 1.0);
            assert!((found.slope(2400.0, 0.05) / slope - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_wild_point_moves_it_little() {
        let mut points: Vec<(f64, f64)> = (1..=60).map(|i| (i as f64 * 40.0, 2.0 + 5.0 * (i as f64 * 40.0).powf(-0.5))).collect();
        points[30].1 += 1.0;
        let found = fit(&points).unwrap();
        assert!((found.offset - 2f64.ln()).abs() < 1e-3 && (found.exponent - 0.5).abs() < 1e-2, "{found:?}");
    }

    #[test]
    fn too_few_points() {
        assert_eq!(fit(&[(1.0, 2.0), (2.0, 1.5), (3.0, 1.2)]), None);
    }
}
