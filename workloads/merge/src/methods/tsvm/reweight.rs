//! How `tsvm_reweighted` treats the task vectors of a matrix before they are decomposed.
//!
//! "Mix Data or Merge Models?" (arXiv 2502.06876) adds two things to TSV-M: weights of parameters that heed outliers, and ranks that heed
//! sparsity. Its code is not public and its formulas could not be had, so these are Braid's own reading of the two ideas, and the
//! method is an experiment:
//!
//! - An element is an outlier where its magnitude is above the mean of its row by `outliers` standard deviations. A column c of task
//!   vector i has the weight `wᵢ(c) = N aᵢ(c) / Σⱼ aⱼ(c)`, aᵢ(c) being the sum of the magnitudes of its outliers; 1, where no task has one.
//!   The weights of a column have the mean 1.
//! - The min(m, n) ranks are shared out in proportion to how little sparse the task vectors are: to `1 − sᵢ`, with Hoyer's sparsity `s = (√n −
//!   ‖δ‖₁/‖δ‖₂) / (√n − 1)` (JMLR 5, 2004) of the n elements, which does not depend on their scale. Each task has one rank at least.

use braid_kernels::linalg::Dense;

/// Multiplies every column of every task vector by its weight.
pub(super) fn weigh(deltas: &mut [Dense], outliers: f64) {
    let scores: Vec<Vec<f64>> = deltas.iter().map(|delta| scores(delta, outliers)).collect();
    let columns = scores.first().map_or(0, Vec::len);
    let totals: Vec<f64> = (0..columns).map(|column| scores.iter().map(|scores| scores[column]).sum()).collect();
    let count = deltas.len() as f64;
    for (delta, scores) in deltas.iter_mut().zip(&scores) {
        let weight = |(score, total): (&f64, &f64)| if *total > 0.0 { (count * score / total) as f32 } else { 1.0 };
        let weights: Vec<f32> = scores.iter().zip(&totals).map(weight).collect();
        for row in 0..delta.rows() {
            delta.row_mut(row).iter_mut().zip(&weights).for_each(|(value, weight)| *value *= weight);
        }
    }
}

/// For each column the sum of the magnitudes of its outliers.
fn scores(delta: &Dense, outliers: f64) -> Vec<f64> {
    let mut scores = vec![0.0; delta.cols()];
    for row in delta.data().chunks(delta.cols().max(1)) {
        let magnitudes = || row.iter().map(|value| f64::from(value.abs()));
        let count = row.len() as f64;
        let mean = magnitudes().sum::<f64>() / count;
        let variance = magnitudes().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let border = mean + outliers * variance.sqrt();
        let above = scores.iter_mut().zip(magnitudes()).filter(|(_, value)| *value > border);
        above.for_each(|(score, value)| *score += value);
    }
    scores
}

/// How many singular values stay of each.
pub(super) fn ranks(deltas: &[Dense]) -> Vec<usize> {
    let Some(first) = deltas.first() else { return Vec::new() };
    let all = first.rows().min(first.cols());
    let density: Vec<f64> = deltas.iter().map(|delta| 1.0 - sparsity(delta.data())).collect();
    let total: f64 = density.iter().sum();
    let share = |density: f64| if total > 0.0 { density / total } else { 1.0 / deltas.len() as f64 };
    density.into_iter().map(|density| ((all as f64 * share(density)) as usize).max(1)).collect()
}

/// Hoyer's, from 0 where all magnitudes are the same to 1 where all but one are zero, or all.
fn sparsity(values: &[f32]) -> f64 {
    let (mut l1, mut squares) = (0.0f64, 0.0f64);
    for value in values {
        let value = f64::from(*value);
        l1 += value.abs();
        squares += value * value;
    }
    let root = (values.len() as f64).sqrt();
    if squares == 0.0 || values.len() < 2 {
        return 1.0;
    }
    ((root - l1 / squares.sqrt()) / (root - 1.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsity_lies_between_a_flat_vector_and_a_single_spike() {
        assert!(sparsity(&[2.0, -2.0, 2.0, 2.0]).abs() < 1e-12);
        assert_eq!([sparsity(&[0.0, 0.0, -3.0, 0.0]), sparsity(&[0.0; 4])], [1.0; 2]);
        // (2 − 7/5) / (2 − 1)
        assert!((sparsity(&[3.0, 4.0, 0.0, 0.0]) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn ranks_go_to_the_dense_and_nobody_has_none() {
        let flat = Dense::new(4, 4, vec![1.0; 16]);
        let mut spike = vec![0.0; 16];
        spike[5] = 9.0;
        let spike = Dense::new(4, 4, spike);
        assert_eq!(ranks(&[flat.clone(), flat.clone()]), [2, 2]);
        assert_eq!(ranks(&[flat, spike.clone()]), [4, 1]);
        assert_eq!(ranks(&[spike.clone(), spike]), [2, 2], "nothing tells them apart");
    }

    #[test]
    fn a_column_goes_to_the_task_whose_outliers_are_in_it() {
        // one outlier in a row of nine: mean 2, deviation √8, border 2 + 2 · 2.83
        let row = |at: Option<usize>, size: f32| (0..9).map(move |column| if Some(column) == at { size } else { 1.0 });
        let matrix =
            |rows: [(Option<usize>, f32); 2]| Dense::new(2, 9, rows.into_iter().flat_map(|(at, size)| row(at, size)).collect());
        let mut deltas = [matrix([(Some(0), 10.0), (Some(3), 30.0)]), matrix([(None, 0.0), (Some(3), -10.0)])];
        weigh(&mut deltas, 2.0);
        let [first, second] = deltas.map(Dense::into_data);
        // column 0 has outliers of the first alone, column 3 of both at 3 : 1, all others of none
        assert_eq!((first[0], second[0]), (20.0, 0.0));
        assert_eq!((first[9 + 3], second[9 + 3]), (45.0, -5.0));
        assert_eq!((first[3], second[3], first[1], second[8]), (1.5, 0.5, 1.0, 1.0));
    }
}
