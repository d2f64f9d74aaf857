//! Algorithm 2 (LearnParams): from what trials did to the losses, the interactions of the domains. Pure arithmetic.

use crate::{
    Proportions,
    numerics::{Matrix, solve},
};
use serde::{Deserialize, Serialize};

/// The trials of a round so far, summed by the domain that each was nearly on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    /// `drops[j][i]`: by how much the loss on `i` fell in the trials of `j`.
    drops: Matrix,
    /// `mixes[j]`: the mixtures of the trials of `j`.
    mixes: Matrix,
    /// Trials of `j`.
    counts: Vec<u64>,
}

impl Learned {
    pub(super) fn new(domains: usize) -> Self {
        Self { drops: vec![vec![0.0; domains]; domains], mixes: vec![vec![0.0; domains]; domains], counts: vec![0; domains] }
    }

    pub(super) fn add(&mut self, hot: usize, before: &[f64], after: &[f64], mix: &Proportions) {
        let (Some(drops), Some(mixes), Some(count)) =
            (self.drops.get_mut(hot), self.mixes.get_mut(hot), self.counts.get_mut(hot))
        else {
            return;
        };
        drops.iter_mut().zip(before.iter().zip(after)).for_each(|(sum, (before, after))| *sum += before - after);
        mixes.iter_mut().zip(mix.iter()).for_each(|(sum, share)| *sum += share);
        *count += 1;
    }

    pub(super) fn trials(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// `A`, from `P A_i = β_i` for every `i`: row `j` of `P` is the mean mixture of the trials of `j`, `β_ij` the mean drop of the loss
    /// on `i` in them. None where `P` cannot be inverted.
    pub(super) fn interactions(&self) -> Option<Matrix> {
        let mean = |sums: &Matrix| -> Matrix {
            let rows = sums.iter().zip(&self.counts);
            rows.map(|(row, &count)| row.iter().map(|sum| sum / count as f64).collect()).collect()
        };
        let by_trained = solve(mean(&self.mixes), mean(&self.drops))?;
        Some((0..by_trained.len()).map(|i| by_trained.iter().map(|row| row[i]).collect()).collect())
    }

    pub(super) fn fits(&self, domains: usize) -> bool {
        let square = |matrix: &Matrix| matrix.len() == domains && matrix.iter().all(|row| row.len() == domains);
        self.counts.len() == domains && square(&self.drops) && square(&self.mixes)
    }
}

/// Shifted so that nothing is negative, divided by the sum of all entries; all zero where there is nothing to divide.
pub(super) fn normalized(matrix: &Matrix) -> Matrix {
    let least = matrix.iter().flatten().copied().fold(0.0, f64::min);
    let sum: f64 = matrix.iter().flatten().map(|entry| entry - least).sum();
    let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
    matrix.iter().map(|row| row.iter().map(|entry| (entry - least) * scale).collect()).collect()
}

/// `(1 - memory) new + memory old`.
pub(super) fn blended(new: &Matrix, old: &Matrix, memory: f64) -> Matrix {
    let blend = |(new, old): (&f64, &f64)| (1.0 - memory) * new + memory * old;
    new.iter().zip(old).map(|(new, old)| new.iter().zip(old).map(blend).collect()).collect()
}

/// `Σ_i A_ij`: what training on `j` does for all.
pub(super) fn column_sums(matrix: &Matrix) -> Vec<f64> {
    let mut sums = vec![0.0; matrix.len()];
    for row in matrix {
        sums.iter_mut().zip(row).for_each(|(sum, entry)| *sum += entry);
    }
    sums
}
