//! From samples to a cost model. Pure.
//!
//! FlexSP's model (ASPLOS'25, eq. 12–14) with one more term for each degree: a group of `d` ranks takes
//! `(α1 Σs² + α2 Σs) / d + β1` and, beyond one rank, `e_d Σs + f_d` for what is exchanged. Each step is a least-squares fit of relative
//! errors under the constraint that no time is negative.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One load, on groups of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Ranks of a group.
    pub degree: u32,
    /// Σ s.
    pub tokens: f64,
    /// Σ s².
    pub squares: f64,
    /// What a group took, in milliseconds.
    pub millis: f64,
}

/// The cost model that the samples say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fit {
    /// Milliseconds a squared token, on one rank.
    pub alpha1_ms: f64,
    /// Milliseconds a token, on one rank.
    pub alpha2_ms: f64,
    /// Milliseconds a micro-batch.
    pub beta1_ms: f64,
    /// By degree: milliseconds of exchange a token, and for the group.
    pub exchange: BTreeMap<u32, (f64, f64)>,
    /// How far the model is off, over all samples: the mean of |model − sample| / sample.
    pub mean_error: f64,
    /// And the largest.
    pub worst_error: f64,
}

impl Fit {
    /// What the model says that a load takes.
    pub fn millis(&self, degree: u32, tokens: f64, squares: f64) -> f64 {
        let (per_token, fixed) = self.exchange.get(&degree).copied().unwrap_or_default();
        (self.alpha1_ms * squares + self.alpha2_ms * tokens) / f64::from(degree) + self.beta1_ms + per_token * tokens + fixed
    }
}

/// Fits the model to samples, of which some are of one rank. `None` when those do not tell its terms apart.
pub fn fit(samples: &[Sample]) -> Option<Fit> {
    let rows = samples.iter().filter(|sample| sample.degree == 1);
    let [alpha1_ms, alpha2_ms, beta1_ms] = least_squares(rows.map(|at| ([at.squares, at.tokens, 1.0], at.millis, at.millis)))?;
    let mut fitted = Fit { alpha1_ms, alpha2_ms, beta1_ms, ..Fit::default() };
    let degrees: std::collections::BTreeSet<u32> =
        samples.iter().map(|sample| sample.degree).filter(|degree| *degree > 1).collect();
    for degree in degrees {
        let rows = samples.iter().filter(|sample| sample.degree == degree).map(|at| {
            let rest = at.millis - fitted.millis(degree, at.tokens, at.squares);
            ([at.tokens, 1.0], rest, at.millis)
        });
        let [per_token, fixed] = least_squares(rows)?;
        fitted.exchange.insert(degree, (per_token, fixed));
    }
    let error = |at: &Sample| (fitted.millis(at.degree, at.tokens, at.squares) - at.millis).abs() / at.millis;
    let errors: Vec<f64> = samples.iter().map(error).collect();
    fitted.worst_error = errors.iter().copied().fold(0.0, f64::max);
    fitted.mean_error = errors.iter().sum::<f64>() / errors.len() as f64;
    Some(fitted)
}

/// The non-negative `x` that minimises `Σ ((row · x − y) / weight)²`. With so few unknowns every set of those that are zero is tried.
fn least_squares<const N: usize>(rows: impl Iterator<Item = ([f64; N], f64, f64)>) -> Option<[f64; N]> {
    let rows: Vec<([f64; N], f64)> = rows.map(|(row, y, weight)| (row.map(|x| x / weight), y / weight)).collect();
    if rows.len() < N {
        return None;
    }
    let error = |x: &[f64; N]| rows.iter().map(|(row, y)| (dot(row, x) - y).powi(2)).sum::<f64>();
    let candidates = (0u32..1 << N).filter_map(|free| solve(&rows, free)).filter(|x| x.iter().all(|x| *x >= 0.0));
    candidates.map(|x| (error(&x), x)).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, x)| x)
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The least-squares solution in which only the unknowns in `free` may differ from zero, by the normal equations.
fn solve<const N: usize>(rows: &[([f64; N], f64)], free: u32) -> Option<[f64; N]> {
    let chosen: Vec<usize> = (0..N).filter(|index| free >> index & 1 == 1).collect();
    // Columns of one length, so that squares of tokens and ones can stand side by side.
    let scale: Vec<f64> =
        chosen.iter().map(|&index| rows.iter().map(|(row, _)| row[index].powi(2)).sum::<f64>().sqrt()).collect();
    if scale.contains(&0.0) {
        return None;
    }
    let count = chosen.len();
    let mut system = vec![vec![0.0; count + 1]; count];
    for (row, y) in rows {
        for a in 0..count {
            let left = row[chosen[a]] / scale[a];
            for b in 0..count {
                system[a][b] += left * row[chosen[b]] / scale[b];
            }
            system[a][count] += left * y;
        }
    }
    for pivot in 0..count {
        let best = (pivot..count).max_by(|&a, &b| system[a][pivot].abs().total_cmp(&system[b][pivot].abs()))?;
        system.swap(pivot, best);
        if system[pivot][pivot].abs() < 1e-9 {
            return None;
        }
        for row in 0..count {
            if row != pivot {
                let by = system[row][pivot] / system[pivot][pivot];
                let from = system[pivot].clone();
                system[row].iter_mut().zip(&from).skip(pivot).for_each(|(to, from)| *to -= by * from);
            }
        }
    }
    let mut x = [0.0; N];
    for (place, &index) in chosen.iter().enumerate() {
        x[index] = system[place][count] / system[place][place] / scale[place];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: impl Fn(u32, f64, f64) -> f64) -> Vec<Sample> {
        let mut samples = vec![];
        for degree in [1, 2, 4] {
            for (length, count) in [(100.0, 1.0), (100.0, 4.0), (400.0, 1.0), (1000.0, 1.0), (1000.0, 3.0), (4000.0, 1.0)] {
                let (tokens, squares) = (length * count, length * length * count);
                samples.push(Sample { degree, tokens, squares, millis: of(degree, tokens, squares) });
            }
        }
        samples
    }

    #[test]
    fn a_model_is_found_again_in_its_own_times() {
        let of = |degree: u32, tokens: f64, squares: f64| {
            let beyond = f64::from(degree - 1);
            (3e-6 * squares + 0.02 * tokens) / f64::from(degree) + 1.5 + beyond * (0.001 * tokens + 0.2)
        };
        let fit = fit(&samples(of)).unwrap();
        assert!((fit.alpha1_ms - 3e-6).abs() < 1e-11 && (fit.alpha2_ms - 0.02).abs() < 1e-7, "{fit:?}");
        assert!((fit.beta1_ms - 1.5).abs() < 1e-5, "{fit:?}");
        assert!((fit.exchange[&4].0 - 0.003).abs() < 1e-8 && (fit.exchange[&4].1 - 0.6).abs() < 1e-4, "{fit:?}");
        assert!(fit.worst_error < 1e-6, "{fit:?}");
    }

    #[test]
    fn no_time_is_negative_and_the_error_says_how_far_off_the_model_is() {
        // Faster than linear on a rank: the square would have to pay back.
        let fit = fit(&samples(|degree, tokens, _| tokens.powf(0.8) * 0.1 / f64::from(degree))).unwrap();
        assert_eq!(fit.alpha1_ms, 0.0);
        assert!(fit.alpha2_ms > 0.0 && fit.beta1_ms >= 0.0, "{fit:?}");
        assert!(fit.mean_error > 0.01 && fit.worst_error >= fit.mean_error, "{fit:?}");
    }

    #[test]
    fn too_few_samples_fit_nothing() {
        assert_eq!(fit(&samples(|_, tokens, _| tokens)[..2]), None);
    }
}
