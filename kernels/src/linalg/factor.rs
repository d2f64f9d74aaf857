//! Singular values and orthonormal bases, by `faer`, on the calling thread.

use super::{Dense, multiply};
use crate::KernelError;
use faer::{Mat, MatRef, linalg::solvers};

/// `left · diag(values) · right`, of orthonormal columns and rows, with the values falling.
#[derive(Debug, Clone, PartialEq)]
pub struct Svd {
    /// The left singular vectors, as columns: m × k.
    pub left: Dense,
    /// The k singular values.
    pub values: Vec<f32>,
    /// The right singular vectors, as rows: k × n.
    pub right: Dense,
}

impl Svd {
    /// The part of the `rank` largest values; all of it where there are no more.
    pub fn truncated(self, rank: usize) -> Self {
        let rank = rank.min(self.values.len());
        let mut values = self.values;
        values.truncate(rank);
        Self { left: self.left.first_cols(rank), values, right: self.right.first_rows(rank) }
    }
}

/// All singular values and vectors of a finite matrix: k is the smaller of its sides.
///
/// O(m · n · min(m, n)) operations.
///
/// # Errors
/// [`KernelError::NoConvergence`].
pub fn svd(matrix: &Dense) -> Result<Svd, KernelError> {
    let (m, n) = (matrix.rows(), matrix.cols());
    if m == 0 || n == 0 {
        return Ok(Svd { left: Dense::zeros(m, 0), values: Vec::new(), right: Dense::zeros(0, n) });
    }
    let found = solvers::Svd::new_thin(as_faer(matrix)).map_err(|_| KernelError::NoConvergence { rows: m, cols: n })?;
    let values = found.S().column_vector().iter().copied().collect();
    Ok(Svd { left: dense(found.U()), values, right: dense(found.V().transpose()) })
}

/// The singular values and vectors of `b · a`, without multiplying it out: b is m × r, a is r × n.
///
/// By QR of both sides and the values of an r × r core: O((m + n) · r²) operations.
///
/// # Errors
/// [`KernelError::NoConvergence`].
///
/// # Panics
/// When the shapes do not fit: a mistake of the caller, never of an input.
pub fn svd_of_product(b: &Dense, a: &Dense) -> Result<Svd, KernelError> {
    assert_eq!(b.cols(), a.rows(), "the rank of a product");
    let (q_b, q_a) = (orthonormal(b), orthonormal(&a.transposed()));
    let core = multiply(multiply(q_b.t(), b.view()).view(), multiply(a.view(), q_a.view()).view());
    let Svd { left, values, right } = svd(&core)?;
    Ok(Svd { left: multiply(q_b.view(), left.view()), values, right: multiply(right.view(), q_a.t()) })
}

/// Orthonormal columns that span those of `matrix`: m × min(m, n).
pub fn orthonormal(matrix: &Dense) -> Dense {
    if matrix.rows() == 0 || matrix.cols() == 0 {
        return Dense::zeros(matrix.rows(), 0);
    }
    dense(solvers::Qr::new(as_faer(matrix)).compute_thin_Q().as_ref())
}

fn as_faer(matrix: &Dense) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(matrix.data(), matrix.rows(), matrix.cols())
}

fn dense(matrix: MatRef<'_, f32>) -> Dense {
    let mut out = Dense::zeros(matrix.nrows(), matrix.ncols());
    let turned: Mat<f32> = matrix.transpose().to_owned();
    for row in 0..matrix.nrows() {
        for (to, from) in out.row_mut(row).iter_mut().zip(turned.col(row).iter()) {
            *to = *from;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{defect, noise, oracle_product};

    fn assert_factors(found: &Svd, of: &Dense, within: f64) {
        let mut scaled = found.left.clone();
        for row in 0..scaled.rows() {
            scaled.row_mut(row).iter_mut().zip(&found.values).for_each(|(value, s)| *value *= s);
        }
        for (found, expected) in oracle_product(&scaled, &found.right).iter().zip(of.data()) {
            assert!((found - f64::from(*expected)).abs() < within, "{found} for {expected}");
        }
        assert!(found.values.windows(2).all(|pair| pair[0] >= pair[1]) && found.values.iter().all(|&s| s >= 0.0));
        assert!(defect(&found.left) < 1e-5 && defect(&found.right.transposed()) < 1e-5);
    }

    #[test]
    fn factors_are_orthonormal_and_give_the_matrix_back() {
        for (m, n) in [(1, 1), (6, 4), (4, 6), (70, 33), (33, 70), (1, 9), (9, 1)] {
            let matrix = noise(m, n, 3);
            assert_factors(&svd(&matrix).unwrap(), &matrix, 1e-5);
            assert!(defect(&orthonormal(&noise(m.max(n), m.min(n), 1))) < 1e-5);
        }
        assert_eq!(svd(&Dense::zeros(0, 3)).unwrap().values, []);
        assert_factors(&svd(&Dense::zeros(5, 3)).unwrap(), &Dense::zeros(5, 3), 1e-9);
    }

    #[test]
    fn a_product_has_the_values_of_what_it_multiplies_to() {
        for (m, r, n) in [(30, 4, 20), (5, 12, 9), (8, 1, 8)] {
            let (b, a) = (noise(m, r, 1), noise(r, n, 2));
            let whole = Dense::new(m, n, oracle_product(&b, &a).into_iter().map(|value| value as f32).collect());
            let found = svd_of_product(&b, &a).unwrap();
            assert_factors(&found, &whole, 1e-5);
            for (found, expected) in found.values.iter().zip(svd(&whole).unwrap().values) {
                assert!((found - expected).abs() < 1e-5);
            }
        }
    }
}
