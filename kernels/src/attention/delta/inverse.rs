//! The inverse of a unit lower triangular matrix, by blocks: substitution on the diagonal, products below it.

use super::super::{
    Real,
    heads::axpy,
    matrix::{Matrix, MatrixMut, Update, product},
};

/// Rows of a block that is solved row by row.
const BASE: usize = 16;

/// `out = (I + lower)⁻¹`, where only what lies below the diagonal of `lower` is read. Both are `len` × `len`.
pub(super) fn invert<T: Real>(lower: &[T], len: usize, out: &mut [T]) {
    out.fill(T::ZERO);
    let mut work = vec![T::ZERO; len * len];
    halve(lower, len, (0, len), out, &mut work);
}

/// Of the rows and columns from `start` to `end`: the halves on the diagonal, then `−A₂₂ L₂₁ A₁₁` below them.
fn halve<T: Real>(lower: &[T], len: usize, (start, end): (usize, usize), out: &mut [T], work: &mut [T]) {
    if end - start <= BASE {
        return substitute(lower, len, (start, end), out);
    }
    let middle = start + (end - start).div_ceil(2 * BASE) * BASE;
    halve(lower, len, (start, middle), out, work);
    halve(lower, len, (middle, end), out, work);
    let (left, right) = (middle - start, end - middle);
    let (below, square) = work.split_at_mut(right * left);
    let view = |data, row: usize, col: usize, rows, cols| Matrix::new(suffix(data, row * len + col), rows, cols, len);
    let (l21, a11) = (view(lower, middle, start, right, left), view(out, start, start, left, left));
    product(Update::Set, MatrixMut::dense(below, right, left), -T::ONE, l21, a11);
    // A₂₂ lies in the same rows as what is written.
    for (row, square) in square.chunks_mut(right).take(right).enumerate() {
        square.copy_from_slice(&out[(middle + row) * len + middle..][..right]);
    }
    let into = MatrixMut::new(&mut out[middle * len + start..], right, left, len);
    product(Update::Set, into, T::ONE, Matrix::dense(square, right, right), Matrix::dense(below, right, left));
}

fn suffix<T>(data: &[T], at: usize) -> &[T] {
    &data[at..]
}

/// Row i of the inverse is `e_i − Σ_{j < i} l_ij row_j`.
fn substitute<T: Real>(lower: &[T], len: usize, (start, end): (usize, usize), out: &mut [T]) {
    for i in start..end {
        let (above, row) = out.split_at_mut(i * len);
        let row = &mut row[start..=i];
        row[i - start] = T::ONE;
        for j in start..i {
            axpy(&mut row[..=j - start], -lower[i * len + j], &above[j * len + start..=j * len + j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_times_the_matrix_is_the_identity() {
        for len in [0, 1, 2, 15, 16, 17, 33, 50, 63, 64] {
            let lower: Vec<f64> = (0..len * len).map(|i| ((i * i) as f64 * 0.37).sin() * 0.3).collect();
            let mut inverse = vec![f64::NAN; len * len];
            invert(&lower, len, &mut inverse);
            for i in 0..len {
                for j in 0..len {
                    let term = |m: usize| {
                        inverse[i * len + m]
                            * if m == j {
                                1.0
                            } else if m > j {
                                lower[m * len + j]
                            } else {
                                0.0
                            }
                    };
                    let sum: f64 = (0..len).map(term).sum();
                    assert!((sum - f64::from(i == j)).abs() < 1e-12, "{len}: element {i}, {j} is {sum}");
                }
            }
        }
    }
}
