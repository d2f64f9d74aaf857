//! Matrices of f32 that own their elements, row after row, and their products.

use crate::attention::{Matrix, MatrixMut, Update, product};
use rayon::prelude::*;

/// Rows of a product that one thread computes at a time. A fixed number, so that the result does not depend on the threads.
const ROWS: usize = 128;

/// `rows` × `cols` elements, row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dense {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Dense {
    /// A matrix of these elements, row after row.
    ///
    /// # Panics
    /// When `data` does not have `rows · cols` elements: a mistake of the caller, never of an input.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(rows.checked_mul(cols), Some(data.len()), "elements of a {rows}×{cols} matrix");
        Self { rows, cols, data }
    }

    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// The matrix with `of(row, column)` at each place.
    pub fn from_fn(rows: usize, cols: usize, of: impl Fn(usize, usize) -> f32) -> Self {
        let of = &of;
        Self { rows, cols, data: (0..rows).flat_map(|row| (0..cols).map(move |col| of(row, col))).collect() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All elements, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All elements, to write.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// All elements, given away.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The elements of a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..][..self.cols]
    }

    /// The elements of a row, to write.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..][..self.cols]
    }

    /// A view for products.
    pub fn view(&self) -> Matrix<'_, f32> {
        Matrix::dense(&self.data, self.rows, self.cols)
    }

    /// A view of its transpose.
    pub fn t(&self) -> Matrix<'_, f32> {
        self.view().t()
    }

    /// The transpose as a matrix of its own.
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |row, col| self.data[col * self.cols + row])
    }

    /// The first `rows` rows.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn first_rows(mut self, rows: usize) -> Self {
        assert!(rows <= self.rows, "{rows} of {} rows", self.rows);
        self.data.truncate(rows * self.cols);
        Self { rows, ..self }
    }

    /// The first `cols` columns.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn first_cols(&self, cols: usize) -> Self {
        assert!(cols <= self.cols, "{cols} of {} columns", self.cols);
        Self::from_fn(self.rows, cols, |row, col| self.data[row * self.cols + col])
    }

    /// The sum of the squares of all elements, in f64.
    pub fn norm_squared(&self) -> f64 {
        self.data.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
    }
}

/// `a · b`, on the threads of the pool that it is called from.
///
/// # Panics
/// When the shapes do not fit: a mistake of the caller, never of an input.
pub fn multiply(a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> Dense {
    let (rows, cols) = (a.rows(), b.cols());
    let mut out = Dense::zeros(rows, cols);
    if cols == 0 {
        return out;
    }
    out.data.par_chunks_mut(ROWS * cols).enumerate().for_each(|(chunk, part)| {
        let count = part.len() / cols;
        let part = MatrixMut::dense(part, count, cols);
        product(Update::Set, part, 1.0, a.rows_from(chunk * ROWS, count), b);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{noise, oracle_product};

    #[test]
    fn products_are_those_of_the_oracle_for_any_number_of_threads() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (300, 40, 17), (129, 1, 64), (5, 0, 3), (0, 4, 2), (2, 3, 0)] {
            let (a, b) = (noise(m, k, 1), noise(k, n, 2));
            let expected = oracle_product(&a, &b);
            let found = multiply(a.view(), b.view());
            for (found, expected) in found.data().iter().zip(&expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{m}×{k}×{n}: {found} for {expected}");
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(pool.install(|| multiply(a.view(), b.view())), found);
            let (at, bt) = (a.transposed(), b.transposed());
            let turned = multiply(at.t(), bt.t());
            for (turned, found) in turned.data().iter().zip(found.data()) {
                assert!((turned - found).abs() < 1e-5);
            }
        }
    }
}
