//! One head of one region, and its summary: pooled key, pooled query, and the mean of the values that the pooled query sees.

use std::ops::Range;

use super::super::{
    Real,
    heads::{Columns, axpy, dot, softmax},
};

pub(super) struct Region<'a, T> {
    pub(super) queries: Columns<'a, T>,
    pub(super) keys: Columns<'a, T>,
    pub(super) values: Columns<'a, T>,
    /// Where its tokens are in those.
    pub(super) rows: Range<usize>,
    pub(super) scale: T,
    pub(super) key_width: usize,
    pub(super) value_width: usize,
}

/// The elementwise maximum of some rows, and which row each element is from: the first of equals.
fn pool<T: Real>(columns: Columns<'_, T>, rows: Range<usize>, width: usize) -> (Vec<T>, Vec<usize>) {
    let (mut top, mut from) = (vec![T::NEG_INFINITY; width], vec![rows.start; width]);
    for row in rows {
        for (column, &x) in columns.row(row).iter().enumerate() {
            if x > top[column] {
                (top[column], from[column]) = (x, row);
            }
        }
    }
    (top, from)
}

impl<T: Real> Region<'_, T> {
    /// What the pooled query makes of each token.
    fn weights(&self, query: &[T]) -> Vec<T> {
        let mut weights: Vec<_> = self.rows.clone().map(|row| self.scale * dot(query, self.keys.row(row))).collect();
        softmax(&mut weights);
        weights
    }

    /// Writes the summary: a key and a value.
    pub(super) fn summarize(&self, key: &mut [T], value: &mut [T]) {
        key.copy_from_slice(&pool(self.keys, self.rows.clone(), self.key_width).0);
        let (query, _) = pool(self.queries, self.rows.clone(), self.key_width);
        value.fill(T::ZERO);
        self.weights(&query)
            .into_iter()
            .zip(self.rows.clone())
            .for_each(|(weight, row)| axpy(value, weight, self.values.row(row)));
    }

    /// The gradients of the region's queries, keys and values from those of its summary, row after row.
    pub(super) fn backward(&self, d_key: &[T], d_value: &[T]) -> [Vec<T>; 3] {
        let (rows, width) = (self.rows.len(), self.key_width);
        let [mut d_queries, mut d_keys] = [vec![T::ZERO; rows * width], vec![T::ZERO; rows * width]];
        let mut d_values = vec![T::ZERO; rows * self.value_width];
        let (query, query_from) = pool(self.queries, self.rows.clone(), width);
        let (_, key_from) = pool(self.keys, self.rows.clone(), width);
        let weights = self.weights(&query);
        let slopes: Vec<_> = self.rows.clone().map(|row| dot(d_value, self.values.row(row))).collect();
        let mean = dot(&weights, &slopes);
        let mut d_query = vec![T::ZERO; width];
        for (i, row) in self.rows.clone().enumerate() {
            let d_score = self.scale * weights[i] * (slopes[i] - mean);
            axpy(&mut d_query, d_score, self.keys.row(row));
            axpy(&mut d_keys[i * width..][..width], d_score, &query);
            axpy(&mut d_values[i * self.value_width..][..self.value_width], weights[i], d_value);
        }
        for column in 0..width {
            d_queries[(query_from[column] - self.rows.start) * width + column] += d_query[column];
            d_keys[(key_from[column] - self.rows.start) * width + column] += d_key[column];
        }
        [d_queries, d_keys, d_values]
    }
}
