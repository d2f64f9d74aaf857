//! A few tokens of one head of LightNet: their weights in each other's memory and in that of later tokens.

use std::ops::Range;

use super::super::{
    Matrix, MatrixMut, Real, Update,
    heads::{Columns, axpy, dot},
    product,
};

/// Tokens of a block. So few that weights inside it are products of decays, pair by pair: exact, whatever the keys.
pub(super) const BLOCK: usize = 16;

/// `logaddexp(a, b)`, and what part of the sum each is.
pub(super) fn log_add<T: Real>(a: T, b: T) -> (T, T, T) {
    if a == T::NEG_INFINITY {
        return (b, T::ZERO, T::ONE);
    }
    let less = (-(b - a).abs()).exp();
    let (sum, large) = (a.max(b) + less.ln_1p(), T::ONE / (T::ONE + less));
    if b > a { (sum, less * large, large) } else { (sum, large, less * large) }
}

/// Of each token and channel (rows of `width`), relative to the log-sum z before the block, l inside it, and both together.
///
/// The sum inside the block is kept apart from the one before it: the logarithm of a long past, to which a token adds almost
/// nothing, is rounded once a block and not at every token.
pub(super) struct Block<T> {
    width: usize,
    /// e^(l_{i−1} − l_i).
    decay: Vec<T>,
    /// e^(k_i − l_i).
    own: Vec<T>,
    /// e^(l_i − z_i).
    share: Vec<T>,
    /// e^(z − z_i), z before the block.
    keep: Vec<T>,
    /// z after the block.
    pub(super) last: Vec<T>,
}

/// What backward knows of a block's queries.
pub(super) struct Queries<T> {
    /// q ⊙ share.
    pub(super) shared: Vec<T>,
    /// q_i·(weights of j): tokens × tokens, 0 above the diagonal.
    pub(super) scores: Vec<T>,
    /// do_i·v_j: tokens × tokens.
    pub(super) d_scores: Vec<T>,
    pub(super) d_queries: Vec<T>,
}

fn times<T: Real>(a: &[T], columns: Columns<'_, T>, rows: Range<usize>) -> Vec<T> {
    a.iter().zip(rows.flat_map(|row| columns.row(row))).map(|(&a, &b)| a * b).collect()
}

impl<T: Real> Block<T> {
    /// Of the keys in these rows, after log-sums `z`. Sums are held as `sum · e^top`, `top` the largest so far.
    pub(super) fn new(keys: Columns<'_, T>, rows: Range<usize>, z: &[T]) -> Self {
        let (width, len) = (z.len(), rows.len() * z.len());
        let [mut decay, mut own, mut share, mut keep] = [(); 4].map(|()| Vec::with_capacity(len));
        let (mut top, mut sum, mut last) = (vec![T::NEG_INFINITY; width], vec![T::ZERO; width], z.to_vec());
        let mut less = vec![T::ZERO; width];
        let apart = |less: &mut [T], a: &[T], b: &[T]| {
            less.iter_mut().zip(a.iter().zip(b)).for_each(|(less, (&a, &b))| *less = -(a - b).abs());
            T::exp_all(less);
        };
        for row in rows {
            let keys = keys.row(row);
            apart(&mut less, keys, &top);
            for (((top, sum), &key), &less) in top.iter_mut().zip(&mut sum).zip(keys).zip(&less) {
                let (before, here) = if key > *top { (*sum * less, T::ONE) } else { (*sum, less) };
                (*top, *sum) = (top.max(key), before + here);
                decay.push(before / *sum);
                own.push(here / *sum);
            }
            apart(&mut less, &top, z);
            for (((&top, &sum), &z), (&less, last)) in top.iter().zip(&sum).zip(z).zip(less.iter().zip(&mut last)) {
                let (inside, before) = if top > z { (sum, less) } else { (sum * less, T::ONE) };
                *last = inside + before;
                share.push(inside / *last);
                keep.push(before / *last);
            }
        }
        for ((last, &top), &z) in last.iter_mut().zip(&top).zip(z) {
            *last = top.max(z) + last.ln();
        }
        Self { width, decay, own, share, keep, last }
    }

    fn len(&self) -> usize {
        self.decay.len() / self.width
    }

    fn row<'a>(&self, of: &'a [T], row: usize) -> &'a [T] {
        &of[row * self.width..][..self.width]
    }

    /// Calls `with(i, j, e^(k_j − l_i))` for all tokens j ≤ i of the block.
    fn pairs(&self, mut with: impl FnMut(usize, usize, &[T])) {
        for j in 0..self.len() {
            let mut weights = self.row(&self.own, j).to_vec();
            with(j, j, &weights);
            for i in j + 1..self.len() {
                weights.iter_mut().zip(self.row(&self.decay, i)).for_each(|(weight, &decay)| *weight *= decay);
                with(i, j, &weights);
            }
        }
    }

    /// e^(z − z_n): what is left of the state before the block after it.
    pub(super) fn kept(&self) -> &[T] {
        self.row(&self.keep, self.len() - 1)
    }

    /// e^(k_j − z_n): the weight of each token in the state after the block.
    pub(super) fn weights(&self) -> Vec<T> {
        let (mut weights, mut later) = (self.own.clone(), self.row(&self.share, self.len() - 1).to_vec());
        for j in (0..self.len()).rev() {
            let range = j * self.width..(j + 1) * self.width;
            weights[range.clone()].iter_mut().zip(&later).for_each(|(weight, &later)| *weight *= later);
            later.iter_mut().zip(&self.decay[range]).for_each(|(later, &decay)| *later *= decay);
        }
        weights
    }

    /// e^(z − z_i) ⊙ q_i: what queries see of the state before the block.
    pub(super) fn carried(&self, queries: Columns<'_, T>, rows: Range<usize>) -> Vec<T> {
        times(&self.keep, queries, rows)
    }

    /// What the block's queries make of its keys: tokens × tokens, 0 above the diagonal.
    pub(super) fn scores(&self, queries: Columns<'_, T>, rows: Range<usize>) -> Vec<T> {
        let (n, shared) = (self.len(), times(&self.share, queries, rows));
        let mut scores = vec![T::ZERO; n * n];
        self.pairs(|i, j, weights| scores[i * n + j] = dot(self.row(&shared, i), weights));
        scores
    }

    /// The way back as far as the queries, with the state before the block.
    pub(super) fn back(
        &self,
        queries: Columns<'_, T>,
        rows: Range<usize>,
        values: Matrix<'_, T>,
        state: Matrix<'_, T>,
        d_out: Matrix<'_, T>,
    ) -> Queries<T> {
        let (n, width) = (self.len(), self.width);
        let shared = times(&self.share, queries, rows);
        let (mut scores, mut d_scores) = (vec![T::ZERO; n * n], vec![T::ZERO; n * n]);
        product(Update::Set, MatrixMut::dense(&mut d_scores, n, n), T::ONE, d_out, values.t());
        let (mut d_inside, mut d_queries) = (vec![T::ZERO; n * width], vec![T::ZERO; n * width]);
        self.pairs(|i, j, weights| {
            scores[i * n + j] = dot(self.row(&shared, i), weights);
            axpy(&mut d_inside[i * width..][..width], d_scores[i * n + j], weights);
        });
        product(Update::Set, MatrixMut::dense(&mut d_queries, n, width), T::ONE, d_out, state.t());
        for (i, d_query) in d_queries.iter_mut().enumerate() {
            *d_query = *d_query * self.keep[i] + d_inside[i] * self.share[i];
        }
        Queries { shared, scores, d_scores, d_queries }
    }

    /// Adds to the gradients of the block's keys what its own queries make of them.
    pub(super) fn back_keys(&self, of: &Queries<T>, d_keys: &mut [T]) {
        let (n, width) = (self.len(), self.width);
        self.pairs(|i, j, weights| {
            let (shared, d_queries) = (self.row(&of.shared, i), self.row(&of.d_queries, i));
            let slopes = shared.iter().zip(d_queries).map(|(&q, &d_query)| q * (of.d_scores[i * n + j] - d_query));
            let d_keys = d_keys[j * width..][..width].iter_mut().zip(weights);
            d_keys.zip(slopes).for_each(|((d_key, &weight), slope)| *d_key += weight * slope);
        });
    }
}
