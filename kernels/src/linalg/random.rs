//! The largest singular values by random projection: Halko, Martinsson and Tropp, "Finding structure with randomness" (SIAM
//! Review 2011), algorithms 4.4 and 5.1.

use super::{
    Dense, Svd,
    factor::{orthonormal, svd},
    multiply,
};
use crate::{KernelError, normal};

/// How a random projection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sketch {
    /// How many singular values are wanted.
    pub rank: usize,
    /// How many directions more are tried: a few make a bad draw unlikely.
    pub oversample: usize,
    /// How often the directions are sent through the matrix and back, which sharpens them where values fall slowly.
    pub iterations: usize,
    /// Chooses the directions, with the size of the matrix: they are counted, not drawn from a stream.
    pub key: [u32; 2],
}

/// The `rank` largest singular values of a finite matrix with their vectors; exact ones where `rank + oversample` reaches its
/// smaller side.
///
/// `Q = orth(A (AᵀA)^q Ω)`, then the values of `QᵀA`; each product in the power iteration is orthonormalised again.
/// O(m · n · (rank + oversample) · (q + 1)) operations.
///
/// # Errors
/// [`KernelError::NoConvergence`].
pub fn random_svd(matrix: &Dense, sketch: &Sketch) -> Result<Svd, KernelError> {
    let width = sketch.rank.saturating_add(sketch.oversample);
    if width >= matrix.rows().min(matrix.cols()) {
        return Ok(svd(matrix)?.truncated(sketch.rank));
    }
    let directions = Dense::from_fn(matrix.cols(), width, |row, col| normal(sketch.key, [row as u64, col as u64]));
    let mut basis = orthonormal(&multiply(matrix.view(), directions.view()));
    for _ in 0..sketch.iterations {
        let back = orthonormal(&multiply(matrix.t(), basis.view()));
        basis = orthonormal(&multiply(matrix.view(), back.view()));
    }
    let Svd { left, values, right } = svd(&multiply(basis.t(), matrix.view()))?;
    Ok(Svd { left: multiply(basis.view(), left.view()), values, right }.truncated(sketch.rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{defect, noise};

    const SKETCH: Sketch = Sketch { rank: 5, oversample: 6, iterations: 3, key: [7, 8] };

    /// A matrix whose singular values halve from one to the next.
    fn falling(m: usize, n: usize) -> Dense {
        let (left, right) = (orthonormal(&noise(m, 20, 1)), orthonormal(&noise(n, 20, 2)));
        let scaled = Dense::from_fn(m, 20, |row, col| left.row(row)[col] * 0.5f32.powi(col as i32));
        multiply(scaled.view(), right.t())
    }

    #[test]
    fn it_finds_the_largest_values_and_their_directions() {
        for (m, n) in [(60, 40), (40, 60)] {
            let matrix = falling(m, n);
            let (found, exact) = (random_svd(&matrix, &SKETCH).unwrap(), svd(&matrix).unwrap().truncated(5));
            for (found, exact) in found.values.iter().zip(&exact.values) {
                assert!((found - exact).abs() < 1e-5, "{found} for {exact}");
            }
            for i in 0..5 {
                let cosine: f32 = found.right.row(i).iter().zip(exact.right.row(i)).map(|(a, b)| a * b).sum();
                assert!(cosine.abs() > 0.9999, "direction {i}: {cosine}");
            }
            assert!(defect(&found.left) < 1e-5);
            assert_eq!(random_svd(&matrix, &SKETCH).unwrap(), found);
            assert_ne!(random_svd(&matrix, &Sketch { key: [1, 1], ..SKETCH }).unwrap(), found);
        }
    }

    #[test]
    fn it_is_exact_where_the_directions_reach_all_of_a_side() {
        let matrix = noise(9, 30, 3);
        let found = random_svd(&matrix, &Sketch { rank: 9, oversample: 0, ..SKETCH }).unwrap();
        assert_eq!(found, svd(&matrix).unwrap());
        assert_eq!(random_svd(&matrix, &SKETCH).unwrap(), svd(&matrix).unwrap().truncated(5));
    }
}
