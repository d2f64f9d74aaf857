//! A few tokens of one head of Gated Slot Attention.

use std::ops::Range;

use super::{
    super::{
        Matrix, MatrixMut, Real, Update,
        heads::{Columns, axpy, dot, softmax},
        product,
    },
    GatedSlots,
};

/// Tokens of a block. So few that decays inside it are multiplied up pair by pair: exact, whatever the gates.
pub(super) const BLOCK: usize = 16;

/// The tokens with their gates; rows of `slots` where not said otherwise.
pub(super) struct Block<'a, T> {
    of: GatedSlots,
    queries: Matrix<'a, T>,
    keys: Matrix<'a, T>,
    values: Matrix<'a, T>,
    /// s, without gaps.
    intake: Vec<T>,
    /// a.
    gates: Vec<T>,
    /// What is left at each token of the state before the block.
    keep: Vec<T>,
    /// What each token puts into the state after the block.
    put: Vec<T>,
    /// q·k, tokens × tokens.
    products: Vec<T>,
}

/// What backward knows of a block's tokens before it knows what comes after them.
pub(super) struct Back<T> {
    /// Scores of slots, not scaled.
    scores: Vec<T>,
    weights: Vec<T>,
    d_scores: Vec<T>,
    d_weights: Vec<T>,
    /// weights_i·(what of j is in the slots at i), tokens × tokens, 0 above the diagonal.
    mixed: Vec<T>,
    /// d_out_i·v_j, tokens × tokens.
    d_mixed: Vec<T>,
}

fn times<T: Real>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(&a, &b)| a * b).collect()
}

impl<'a, T: Real> Block<'a, T> {
    pub(super) fn new(of: GatedSlots, inputs: [Columns<'a, T>; 4], g: Columns<'_, T>, rows: Range<usize>) -> Self {
        let (n, m) = (rows.len(), of.slots);
        let [queries, keys, values] = [0, 1, 2].map(|input: usize| inputs[input].rows(rows.clone()));
        let intake: Vec<T> = rows.clone().flat_map(|row| inputs[3].row(row)).copied().collect();
        let mut gates: Vec<T> = rows.flat_map(|row| g.row(row)).copied().collect();
        T::exp_all(&mut gates);
        let (mut keep, mut put) = (gates.clone(), intake.clone());
        for i in m..n * m {
            keep[i] = keep[i - m] * gates[i];
        }
        let mut later = vec![T::ONE; m];
        for (put, gates) in put.chunks_mut(m).zip(gates.chunks(m)).rev() {
            put.iter_mut().zip(&later).for_each(|(put, &later)| *put *= later);
            later.iter_mut().zip(gates).for_each(|(later, &gate)| *later *= gate);
        }
        let mut products = vec![T::ZERO; n * n];
        product(Update::Set, MatrixMut::dense(&mut products, n, n), T::ONE, queries, keys.t());
        Self { of, queries, keys, values, intake, gates, keep, put, products }
    }

    fn len(&self) -> usize {
        self.values.rows()
    }

    fn matrix<'b>(&self, of: &'b [T]) -> Matrix<'b, T> {
        Matrix::dense(of, self.len(), self.of.slots)
    }

    fn pairs_of<'b>(&self, of: &'b [T]) -> Matrix<'b, T> {
        Matrix::dense(of, self.len(), self.len())
    }

    /// The two halves of a state: keys and values of slots.
    fn halves<'b>(&self, state: &'b [T]) -> (Matrix<'b, T>, Matrix<'b, T>) {
        let GatedSlots { slots, key_width: dk, value_width: dv, .. } = self.of;
        (Matrix::new(state, slots, dk, dk + dv), Matrix::new(&state[dk..], slots, dv, dk + dv))
    }

    /// Adds `aᵀ · [b c]` to a state.
    fn add(&self, a: &[T], b: Matrix<'_, T>, c: Matrix<'_, T>, state: &mut [T]) {
        let GatedSlots { slots, key_width: dk, value_width: dv, .. } = self.of;
        product(Update::Add, MatrixMut::new(state, slots, dk, dk + dv), T::ONE, self.matrix(a).t(), b);
        product(Update::Add, MatrixMut::new(&mut state[dk..], slots, dv, dk + dv), T::ONE, self.matrix(a).t(), c);
    }

    /// What is left after the block of the state before it.
    pub(super) fn kept(&self) -> &[T] {
        &self.keep[(self.len() - 1) * self.of.slots..]
    }

    /// Calls `with(i, j, start_j ⊙ the gates after j up to i)` for all tokens j ≤ i of the block.
    fn pairs(&self, start: &[T], mut with: impl FnMut(usize, usize, &[T])) {
        let m = self.of.slots;
        for (j, start) in start.chunks(m).enumerate() {
            let mut left = start.to_vec();
            with(j, j, &left);
            for (i, gates) in self.gates.chunks(m).enumerate().skip(j + 1) {
                left.iter_mut().zip(gates).for_each(|(left, &gate)| *left *= gate);
                with(i, j, &left);
            }
        }
    }

    /// The scores of slots, not scaled, and their softmax.
    fn weights(&self, state: &[T]) -> (Vec<T>, Vec<T>) {
        let (n, m) = (self.len(), self.of.slots);
        let mut scores = vec![T::ZERO; n * m];
        product(Update::Set, MatrixMut::dense(&mut scores, n, m), T::ONE, self.queries, self.halves(state).0.t());
        scores.iter_mut().zip(&self.keep).for_each(|(score, &keep)| *score *= keep);
        self.pairs(&self.intake, |i, j, left| axpy(&mut scores[i * m..][..m], self.products[i * n + j], left));
        let mut weights: Vec<T> = scores.iter().map(|&score| T::of(self.of.scale) * score).collect();
        weights.chunks_mut(m).for_each(softmax);
        (scores, weights)
    }

    /// The outputs, from the state before the block.
    pub(super) fn output(&self, state: &[T], out: &mut [T]) {
        let (n, m, dv) = (self.len(), self.of.slots, self.of.value_width);
        let (_, weights) = self.weights(state);
        let mut mixed = vec![T::ZERO; n * n];
        self.pairs(&self.intake, |i, j, left| mixed[i * n + j] = dot(&weights[i * m..][..m], left));
        let carried = times(&weights, &self.keep);
        product(Update::Set, MatrixMut::dense(out, n, dv), T::ONE, self.matrix(&carried), self.halves(state).1);
        product(Update::Add, MatrixMut::dense(out, n, dv), T::ONE, self.pairs_of(&mixed), self.values);
    }

    /// Takes the state from before the block to after it.
    pub(super) fn advance(&self, state: &mut [T]) {
        self.decay(state);
        self.add(&self.put, self.keys, self.values, state);
    }

    fn decay(&self, state: &mut [T]) {
        let rows = state.chunks_mut(self.of.key_width + self.of.value_width);
        rows.zip(self.kept()).for_each(|(row, &kept)| row.iter_mut().for_each(|x| *x *= kept));
    }

    /// The way back as far as the slots' scores, from the state before the block.
    pub(super) fn back(&self, state: &[T], d_out: &[T]) -> Back<T> {
        let (n, m) = (self.len(), self.of.slots);
        let d_out = Matrix::dense(d_out, n, self.of.value_width);
        let (scores, weights) = self.weights(state);
        let (mut mixed, mut d_mixed, mut d_weights) = (vec![T::ZERO; n * n], vec![T::ZERO; n * n], vec![T::ZERO; n * m]);
        product(Update::Set, MatrixMut::dense(&mut d_mixed, n, n), T::ONE, d_out, self.values.t());
        product(Update::Set, MatrixMut::dense(&mut d_weights, n, m), T::ONE, d_out, self.halves(state).1.t());
        d_weights.iter_mut().zip(&self.keep).for_each(|(d_weight, &keep)| *d_weight *= keep);
        self.pairs(&self.intake, |i, j, left| {
            mixed[i * n + j] = dot(&weights[i * m..][..m], left);
            axpy(&mut d_weights[i * m..][..m], d_mixed[i * n + j], left);
        });
        let mut d_scores = times(&weights, &d_weights);
        for (d_scores, weights) in d_scores.chunks_mut(m).zip(weights.chunks(m)) {
            let mean: T = d_scores.iter().copied().sum();
            let scale = T::of(self.of.scale);
            d_scores.iter_mut().zip(weights).for_each(|(d, &weight)| *d = scale * (*d - weight * mean));
        }
        Back { scores, weights, d_scores, d_weights, mixed, d_mixed }
    }
}

impl<T: Real> Back<T> {
    /// Adds what the block's outputs make of the state before it, faded by `kept` on top.
    pub(super) fn add_adjoint(&self, block: &Block<'_, T>, d_out: &[T], kept: &[T], d_state: &mut [T]) {
        let GatedSlots { slots: m, key_width: dk, value_width: dv, .. } = block.of;
        let n = block.len();
        let faded =
            |of: &[T]| -> Vec<T> { times(of, &block.keep).iter().zip(kept.iter().cycle()).map(|(&x, &k)| x * k).collect() };
        let (d_scores, weights) = (faded(&self.d_scores), faded(&self.weights));
        let keys = MatrixMut::new(d_state, m, dk, dk + dv);
        product(Update::Add, keys, T::ONE, block.matrix(&d_scores).t(), block.queries);
        let values = MatrixMut::new(&mut d_state[dk..], m, dv, dk + dv);
        product(Update::Add, values, T::ONE, block.matrix(&weights).t(), Matrix::dense(d_out, n, dv));
    }

    /// The gradients of q, k, v, s and g; `d_state` is that of the state after the block, and then that of the state before it.
    pub(super) fn through(
        &self,
        block: &Block<'_, T>,
        d_out: &[T],
        (before, after): (&[T], &[T]),
        d_state: &mut [T],
    ) -> [Vec<T>; 5] {
        let GatedSlots { slots: m, key_width: dk, value_width: dv, .. } = block.of;
        let n = block.len();
        let d_out_rows = Matrix::dense(d_out, n, dv);
        let mut d = [dk, dk, dv, m, m].map(|width| vec![T::ZERO; n * width]);
        let [d_q, d_k, d_v, d_s, d_g] = &mut d;

        // Each slot's sum of state times gradient: what its gate after the block would be worth.
        let worth: Vec<T> = after.chunks(dk + dv).zip(d_state.chunks(dk + dv)).map(|(a, b)| dot(a, b)).collect();

        // Through the scores of slots.
        let mut d_products = vec![T::ZERO; n * n];
        block.pairs(&block.intake, |i, j, left| d_products[i * n + j] = dot(&self.d_scores[i * m..][..m], left));
        let carried = times(&self.d_scores, &block.keep);
        let (keys_before, _) = block.halves(before);
        product(Update::Set, MatrixMut::dense(d_q, n, dk), T::ONE, block.matrix(&carried), keys_before);
        product(Update::Add, MatrixMut::dense(d_q, n, dk), T::ONE, block.pairs_of(&d_products), block.keys);
        product(Update::Set, MatrixMut::dense(d_k, n, dk), T::ONE, block.pairs_of(&d_products).t(), block.queries);
        product(Update::Set, MatrixMut::dense(d_v, n, dv), T::ONE, block.pairs_of(&self.mixed).t(), d_out_rows);

        // Through the state after the block.
        let (d_keys, d_values) = block.halves(d_state);
        product(Update::Add, MatrixMut::dense(d_k, n, dk), T::ONE, block.matrix(&block.put), d_keys);
        product(Update::Add, MatrixMut::dense(d_v, n, dv), T::ONE, block.matrix(&block.put), d_values);
        product(Update::Set, MatrixMut::dense(d_s, n, m), T::ONE, block.keys, d_keys.t());
        product(Update::Add, MatrixMut::dense(d_s, n, m), T::ONE, block.values, d_values.t());
        let mut later = vec![T::ONE; m];
        for (d_s, gates) in d_s.chunks_mut(m).zip(block.gates.chunks(m)).rev() {
            d_s.iter_mut().zip(&later).for_each(|(d_s, &later)| *d_s *= later);
            later.iter_mut().zip(gates).for_each(|(later, &gate)| *later *= gate);
        }
        block.pairs(&vec![T::ONE; n * m], |i, j, left| {
            let (product, d_mixed) = (block.products[i * n + j], self.d_mixed[i * n + j]);
            let (d_scores, weights) = (&self.d_scores[i * m..][..m], &self.weights[i * m..][..m]);
            let slopes = d_scores.iter().zip(weights).map(|(&d_score, &weight)| d_score * product + weight * d_mixed);
            d_s[j * m..][..m].iter_mut().zip(left).zip(slopes).for_each(|((d_s, &left), slope)| *d_s += left * slope);
        });

        // A gate takes part in what is read at or after its token and was put in before it: all reads, less what was put in since.
        let mut since = worth;
        for i in (0..n).rev() {
            for (slot, since) in since.iter_mut().enumerate() {
                let at = i * m + slot;
                let read = self.d_scores[at] * self.scores[at] + self.weights[at] * self.d_weights[at];
                *since += read - block.intake[at] * d_s[at];
                d_g[at] = *since;
            }
        }

        block.decay(d_state);
        self.add_adjoint(block, d_out, &vec![T::ONE; m], d_state);
        d
    }
}
