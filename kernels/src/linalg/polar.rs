//! The nearest matrix with orthonormal columns.

use super::{Dense, multiply};
use crate::KernelError;
use faer::{Mat, Side, linalg::solvers};

/// Eigenvalues of the Gram matrix below this part of the largest belong to columns that depend on the others.
const DEPENDENT: f64 = 1e-10;

/// The polar factor `U (UᵀU)^-½` of a finite m × k matrix: of all matrices with orthonormal columns, the nearest.
///
/// Where columns depend on each other that matrix is not unique; directions that `matrix` does not have stay zero then. The
/// eigenvalues of the k × k Gram matrix are found in f64, on the calling thread: O(m · k² + k³) operations.
///
/// # Errors
/// [`KernelError::NoConvergence`].
pub fn polar(matrix: &Dense) -> Result<Dense, KernelError> {
    let k = matrix.cols();
    if k == 0 || matrix.rows() == 0 {
        return Ok(matrix.clone());
    }
    let gram = multiply(matrix.t(), matrix.view());
    let gram = Mat::from_fn(k, k, |row, col| f64::from(gram.row(row.max(col))[row.min(col)]));
    let found = solvers::SelfAdjointEigen::new(gram.as_ref(), Side::Lower)
        .map_err(|_| KernelError::NoConvergence { rows: k, cols: k })?;
    let (vectors, values) = (found.U(), found.S().column_vector());
    let largest = values.iter().fold(0.0f64, |largest, &value| largest.max(value));
    let scale = |value: f64| if value > DEPENDENT * largest { value.sqrt().sqrt().recip() } else { 0.0 };
    // (UᵀU)^-½ = (E·λ^-¼)(E·λ^-¼)ᵀ, which is symmetric to the last bit
    let half = Dense::from_fn(k, k, |row, col| (vectors[(row, col)] * scale(values[col])) as f32);
    let root = multiply(half.view(), half.t());
    Ok(multiply(matrix.view(), root.view()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{defect, noise};
    use crate::linalg::{orthonormal, svd};

    #[test]
    fn it_is_left_times_right_of_the_singular_vectors() {
        for (m, k) in [(40, 7), (5, 5), (9, 1)] {
            let matrix = noise(m, k, 4);
            let found = polar(&matrix).unwrap();
            let factors = svd(&matrix).unwrap();
            let expected = multiply(factors.left.view(), factors.right.view());
            assert!(defect(&found) < 1e-4);
            for (found, expected) in found.data().iter().zip(expected.data()) {
                assert!((found - expected).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn columns_that_are_there_twice_share_their_direction() {
        let once = orthonormal(&noise(12, 3, 5));
        let twice = Dense::from_fn(12, 6, |row, col| once.row(row)[col % 3]);
        for (found, expected) in polar(&twice).unwrap().data().iter().zip(twice.data()) {
            assert!((found - expected / 2f32.sqrt()).abs() < 1e-5);
        }
    }
}
