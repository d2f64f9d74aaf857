//! Softmax attention of a block of queries, tile after tile of keys: the arithmetic that all families with a softmax share.
//! It knows no heads, documents or ranks; the caller says which keys each query sees.
//!
//! Forward keeps the running maximum and sum of each row (Milakov and Gimelshein, arXiv 1805.02867); backward recomputes the
//! probabilities from the logarithm of that sum (FlashAttention-2, arXiv 2307.08691).

use std::ops::Range;

use super::super::{
    Matrix, MatrixMut, Real, Update,
    heads::{Columns, axpy, cut, dot, exp_below_top, softmax},
    product,
};

/// Queries of one block.
pub(in super::super) const QUERIES: usize = 64;

/// Keys of one tile.
const KEYS: usize = 128;

/// Keys with their values, one head of them.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Pairs<'a, T> {
    pub(in super::super) keys: Columns<'a, T>,
    pub(in super::super) values: Columns<'a, T>,
}

/// Which keys the rows of a block see: of row `i`, a range. Both ends ascend with the rows.
pub(in super::super) trait Visible: Fn(usize) -> Range<usize> {}
impl<F: Fn(usize) -> Range<usize>> Visible for F {}

/// The keys that row `row` sees, of a tile of keys, counted from the tile's first.
fn seen(visible: &impl Visible, row: usize, tile: &Range<usize>) -> Range<usize> {
    let Range { start, end } = visible(row);
    let start = start.clamp(tile.start, tile.end);
    start - tile.start..end.clamp(start, tile.end) - tile.start
}

fn tiles(visible: &impl Visible, rows: usize) -> impl Iterator<Item = Range<usize>> {
    cut(if rows == 0 { 0..0 } else { visible(0).start..visible(rows - 1).end }, KEYS)
}

/// The outputs of a block of queries in the making.
#[derive(Debug)]
pub(in super::super) struct Online<T> {
    /// The largest score of each row so far.
    pub(in super::super) top: Vec<T>,
    /// Σ e^(score − top) of each row.
    pub(in super::super) sum: Vec<T>,
    /// Σ e^(score − top) · value, row after row.
    pub(in super::super) mixed: Vec<T>,
    /// The key of the largest score of each row.
    pub(in super::super) best: Vec<usize>,
    tile: Vec<T>,
}

impl<T: Real> Online<T> {
    /// `rows` queries that have seen no key, for values of `width`.
    pub(in super::super) fn new(rows: usize, width: usize) -> Self {
        Self {
            top: vec![T::NEG_INFINITY; rows],
            sum: vec![T::ZERO; rows],
            mixed: vec![T::ZERO; rows * width],
            best: vec![0; rows],
            tile: vec![T::ZERO; rows * KEYS],
        }
    }

    /// Lets the queries see some keys. May be called again with other keys.
    pub(in super::super) fn absorb(&mut self, queries: Matrix<'_, T>, scale: T, pairs: Pairs<'_, T>, visible: impl Visible) {
        let (rows, width) = (queries.rows(), self.mixed.len() / queries.rows().max(1));
        for keys in tiles(&visible, rows) {
            let n = keys.len();
            let scores = &mut self.tile[..rows * n];
            product(Update::Set, MatrixMut::dense(scores, rows, n), scale, queries, pairs.keys.rows(keys.clone()).t());
            for (row, scores) in scores.chunks_mut(n).enumerate() {
                let seen = seen(&visible, row, &keys);
                scores[..seen.start].fill(T::ZERO);
                scores[seen.end..].fill(T::ZERO);
                if seen.is_empty() {
                    continue;
                }
                let (top, sum) = exp_below_top(&mut scores[seen.clone()], self.top[row]);
                let shrink = (self.top[row] - top).exp();
                if shrink != T::ONE {
                    // The largest is e^0.
                    let at = scores[seen.clone()].iter().position(|&weight| weight == T::ONE).unwrap_or_default();
                    self.best[row] = keys.start + seen.start + at;
                }
                self.sum[row] = self.sum[row] * shrink + sum;
                self.top[row] = top;
                if shrink != T::ONE {
                    self.mixed[row * width..][..width].iter_mut().for_each(|x| *x *= shrink);
                }
            }
            product(
                Update::Add,
                MatrixMut::dense(&mut self.mixed, rows, width),
                T::ONE,
                Matrix::dense(scores, rows, n),
                pairs.values.rows(keys),
            );
        }
    }

    /// Writes the outputs: row `i` to `out[i · stride..]`.
    pub(in super::super) fn write(&self, out: &mut [T], stride: usize, width: usize) {
        for ((mixed, &sum), out) in self.mixed.chunks(width).zip(&self.sum).zip(out.chunks_mut(stride)) {
            let part = T::ONE / sum;
            out[..width].iter_mut().zip(mixed).for_each(|(out, &mixed)| *out = mixed * part);
        }
    }

    /// What backward needs of each row.
    pub(in super::super) fn normaliser(&self, d_out: Columns<'_, T>, first: usize, width: usize) -> Normaliser<T> {
        let log_sum = self.top.iter().zip(&self.sum).map(|(&top, &sum)| top + sum.ln()).collect();
        let mean = |(row, mixed): (usize, &[T])| dot(mixed, d_out.row(first + row)) / self.sum[row];
        Normaliser { log_sum, mean: self.mixed.chunks(width).enumerate().map(mean).collect() }
    }
}

/// What backward needs of each row to know its probabilities again.
#[derive(Debug)]
pub(in super::super) struct Normaliser<T> {
    /// ln Σ e^score.
    pub(in super::super) log_sum: Vec<T>,
    /// The mean over the keys of the gradient of the probabilities: output · d_output.
    pub(in super::super) mean: Vec<T>,
}

/// The gradients of a run of keys and values.
#[derive(Debug)]
pub(in super::super) struct PairGradients<T> {
    /// The row that the first element belongs to.
    pub(in super::super) first: usize,
    pub(in super::super) keys: Vec<T>,
    pub(in super::super) values: Vec<T>,
}

impl<T: Real> PairGradients<T> {
    pub(in super::super) fn new(rows: Range<usize>, key_width: usize, value_width: usize) -> Self {
        Self { first: rows.start, keys: vec![T::ZERO; rows.len() * key_width], values: vec![T::ZERO; rows.len() * value_width] }
    }
}

/// A block of queries on the way back.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Back<'a, T> {
    pub(in super::super) queries: Matrix<'a, T>,
    pub(in super::super) d_out: Matrix<'a, T>,
    pub(in super::super) normaliser: &'a Normaliser<T>,
    pub(in super::super) scale: T,
}

impl<T: Real> Back<'_, T> {
    /// Adds what came through some keys to the gradients of queries (`d_queries`: row after row), keys and values.
    pub(in super::super) fn through(
        &self,
        pairs: Pairs<'_, T>,
        visible: impl Visible,
        d_queries: &mut [T],
        d_pairs: &mut PairGradients<T>,
    ) {
        let (rows, key_width, value_width) = (self.queries.rows(), self.queries.cols(), self.d_out.cols());
        let (mut weights, mut d_scores) = (vec![T::ZERO; rows * KEYS], vec![T::ZERO; rows * KEYS]);
        for keys in tiles(&visible, rows) {
            let (n, at) = (keys.len(), keys.start - d_pairs.first);
            let (weights, d_scores) = (&mut weights[..rows * n], &mut d_scores[..rows * n]);
            let (k, v) = (pairs.keys.rows(keys.clone()), pairs.values.rows(keys.clone()));
            product(Update::Set, MatrixMut::dense(weights, rows, n), self.scale, self.queries, k.t());
            product(Update::Set, MatrixMut::dense(d_scores, rows, n), T::ONE, self.d_out, v.t());
            for (row, (weights, d_scores)) in weights.chunks_mut(n).zip(d_scores.chunks_mut(n)).enumerate() {
                let seen = seen(&visible, row, &keys);
                for row in [&mut *weights, &mut *d_scores] {
                    row[..seen.start].fill(T::ZERO);
                    row[seen.end..].fill(T::ZERO);
                }
                let (log_sum, mean) = (self.normaliser.log_sum[row], self.normaliser.mean[row]);
                let (weights, d_scores) = (&mut weights[seen.clone()], &mut d_scores[seen]);
                weights.iter_mut().for_each(|weight| *weight -= log_sum);
                T::exp_all(weights);
                d_scores.iter_mut().zip(&*weights).for_each(|(d_score, &weight)| *d_score = weight * (*d_score - mean));
            }
            let (weights, d_scores) = (Matrix::dense(weights, rows, n), Matrix::dense(d_scores, rows, n));
            let d_values = MatrixMut::dense(&mut d_pairs.values[at * value_width..], n, value_width);
            product(Update::Add, d_values, T::ONE, weights.t(), self.d_out);
            let d_keys = MatrixMut::dense(&mut d_pairs.keys[at * key_width..], n, key_width);
            product(Update::Add, d_keys, self.scale, d_scores.t(), self.queries);
            product(Update::Add, MatrixMut::dense(d_queries, rows, key_width), self.scale, d_scores, k);
        }
    }
}

/// One query, key after key: the recurrent form.
pub(in super::super) fn one_query<T: Real>(query: &[T], scale: T, pairs: Pairs<'_, T>, keys: Range<usize>, out: &mut [T]) {
    let mut weights: Vec<_> = keys.clone().map(|key| scale * dot(query, pairs.keys.row(key))).collect();
    softmax(&mut weights);
    out.fill(T::ZERO);
    keys.zip(weights).for_each(|(key, weight)| axpy(out, weight, pairs.values.row(key)));
}
