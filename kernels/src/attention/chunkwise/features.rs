//! Feature maps of queries and keys, row by row, and their pull-backs.

use super::super::{
    Real,
    heads::{self, dot},
};

/// Added under the root of a norm, as flash-linear-attention does.
const EPSILON: f64 = 1e-6;

fn inverse_norm<T: Real>(row: &[T]) -> T {
    T::ONE / (dot(row, row) + T::of(EPSILON)).sqrt()
}

/// Divides each row by its length.
pub(crate) fn l2_normalise<T: Real>(rows: &mut [T], width: usize) {
    for row in rows.chunks_mut(width) {
        let scale = inverse_norm(row);
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Turns the gradients of normalised rows into those of the rows before.
pub(crate) fn l2_pull_back<'a, T: Real>(raw: impl Iterator<Item = &'a [T]>, d: &mut [T], width: usize) {
    for (row, d) in raw.zip(d.chunks_mut(width)) {
        let scale = inverse_norm(row);
        let along = dot(row, d) * scale * scale;
        d.iter_mut().zip(row).for_each(|(d, &x)| *d = scale * (*d - along * x));
    }
}

/// Turns each row into weights that sum to one.
pub(crate) fn softmax<T: Real>(rows: &mut [T], width: usize) {
    rows.chunks_mut(width).for_each(heads::softmax);
}

/// Turns the gradients of weights into those of the numbers that they are the [`softmax`] of.
pub(crate) fn softmax_pull_back<T: Real>(weights: &[T], d: &mut [T], width: usize) {
    for (row, d) in weights.chunks(width).zip(d.chunks_mut(width)) {
        let mean = dot(row, d);
        d.iter_mut().zip(row).for_each(|(d, &w)| *d = w * (*d - mean));
    }
}
