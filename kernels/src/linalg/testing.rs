//! What the tests of linear algebra share: matrices of noise, and products in f64.

use super::Dense;

/// A matrix of numbers about zero.
pub(crate) fn noise(rows: usize, cols: usize, seed: u32) -> Dense {
    Dense::from_fn(rows, cols, |row, col| {
        let word = crate::philox4x32([row as u32, col as u32, 0, 0], [seed, 9])[0];
        (f64::from(word) / f64::from(u32::MAX) - 0.5) as f32
    })
}

/// `a · b` in f64.
pub(crate) fn oracle_product(a: &Dense, b: &Dense) -> Vec<f64> {
    let of = |row: usize, col: usize| -> f64 { (0..a.cols()).map(|k| f64::from(a.row(row)[k]) * f64::from(b.row(k)[col])).sum() };
    (0..a.rows()).flat_map(|row| (0..b.cols()).map(move |col| (row, col))).map(|(row, col)| of(row, col)).collect()
}

/// The largest distance of `aᵀa` from the identity.
pub(crate) fn defect(a: &Dense) -> f64 {
    let product = oracle_product(&a.transposed(), a);
    let n = a.cols();
    (0..n * n).map(|i| (product[i] - if i / n == i % n { 1.0 } else { 0.0 }).abs()).fold(0.0, f64::max)
}
