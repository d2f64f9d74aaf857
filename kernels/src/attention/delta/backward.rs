//! The delta rule backward. With X what a chunk writes and `Y = Aᵀ dX` (names as in the parent module):
//!
//! ```text
//! dX = Pᵀ dO + (e^(B_L − B) ⊙ K) dS'        dP = dO Xᵀ where P is        dL = −Y Xᵀ where L is
//! d(β V) = Y                                 d(e^B ⊙ β K) = −Y Sᵀ
//! dS = e^(B_L) ⊙ dS' + (e^B ⊙ Q)ᵀ dO − (e^B ⊙ β K)ᵀ Y
//! ```

use std::ops::Range;

use super::{
    super::{
        Real,
        chunkwise::{Cut, Head, Mask, Scores, Sheet, Widths, add_scaled, gate_gradient},
        heads::dot,
        matrix::{Matrix, MatrixMut, Update, product},
    },
    Kept, Work, apart, identity_beside_zero, keep,
};

impl<T: Real> Work<T> {
    /// From the gradient of the state after the chunk that before it, of so many columns; the last are those of values. Leaves Y.
    fn write_back(&mut self, (inverse, pairs): (&[T], &[T]), d_out: &[T], d_state: &mut [T], cols: usize) {
        let (len, Widths { key, value, .. }) = (self.chunk.len, self.chunk.widths);
        let d_out = Matrix::dense(d_out, len, value);
        let last = cols - value;
        // dX into `right`, Y into `written`
        self.right.clear();
        self.right.resize(len * cols, T::ZERO);
        if len > 0 {
            let into = MatrixMut::new(&mut self.right[last..], len, value, cols);
            product(Update::Set, into, T::ONE, Matrix::dense(pairs, len, len).t(), d_out);
        }
        self.decay.read_to_end();
        let k = self.decay.leave(&self.chunk.k, key, &mut self.rows);
        let (k, ds) = (Matrix::dense(k, len, key), Matrix::dense(d_state, key, cols));
        product(Update::Add, MatrixMut::dense(&mut self.right, len, cols), T::ONE, k, ds);
        self.written.resize(len * cols, T::ZERO);
        let (inverse, dx) = (Matrix::dense(inverse, len, len).t(), Matrix::dense(&self.right, len, cols));
        product(Update::Set, MatrixMut::dense(&mut self.written, len, cols), T::ONE, inverse, dx);

        self.decay.pass(d_state, cols);
        let q = self.decay.enter(&self.chunk.q, key, &mut self.rows);
        let q = Matrix::dense(q, len, key);
        product(Update::Add, MatrixMut::new(&mut d_state[last..], key, value, cols), T::ONE, q.t(), d_out);
        let (erase, y) = (Matrix::dense(self.erase(), len, key), Matrix::dense(&self.written, len, cols));
        product(Update::Add, MatrixMut::dense(d_state, key, cols), -T::ONE, erase.t(), y);
    }
}

/// The map of the gradient: its transition is the transpose of that of the state.
pub(super) fn adjoint<T: Real>(head: &Head<'_, T>, d_out: &[T], map: &mut [T]) {
    let Widths { key, value, .. } = head.widths;
    let cols = key + value;
    let (mut wide, kept, mut work) = (identity_beside_zero(key, cols), keep(head, head.cuts(), true), Work::new(head));
    for (index, cut) in head.cuts().iter().enumerate().rev() {
        if cut.fresh {
            wide.fill(T::ZERO);
            continue;
        }
        let len = cut.range.len();
        work.load(head, cut);
        let matrices = kept.of(index, len);
        work.write_back(matrices, &d_out[cut.range.start * value..cut.range.end * value], &mut wide, cols);
    }
    apart(&wide, key, map);
}

/// What was written in each chunk, and the state after each.
struct Ahead<T> {
    written: Vec<T>,
    after: Vec<T>,
}

fn ahead<T: Real>(head: &Head<'_, T>, cuts: &[Cut], kept: &Kept<T>, state: &[T]) -> Ahead<T> {
    let (mut work, mut state) = (Work::new(head), state.to_vec());
    let mut ahead = Ahead { written: vec![], after: vec![] };
    for (index, cut) in cuts.iter().enumerate() {
        if cut.fresh {
            state.fill(T::ZERO);
        }
        work.load(head, cut);
        work.written(kept.of(index, cut.range.len()).0, &state, head.widths.value);
        work.write(&mut state, head.widths.value);
        ahead.written.extend_from_slice(&work.written);
        ahead.after.extend_from_slice(&state);
    }
    ahead
}

/// All gradients: forward once more for the states, then back.
pub(super) fn sweep<T: Real>(
    head: &Head<'_, T>,
    cuts: &[Cut],
    kept: &Kept<T>,
    state: &[T],
    d_out: &[T],
    d_state: &mut [T],
    d: &mut Sheet<T>,
) {
    let value = head.widths.value;
    let Ahead { written, after } = ahead(head, cuts, kept, state);
    let (mut work, mut chunk) = (Work::new(head), Gradient::new(head));
    let (none, len) = (vec![T::ZERO; head.state_len()], head.state_len());
    for (index, cut) in cuts.iter().enumerate().rev() {
        let rows = cut.within(cuts);
        let values = rows.start * value..rows.end * value;
        let before = match index {
            _ if cut.fresh => &none,
            0 => state,
            _ => &after[(index - 1) * len..index * len],
        };
        work.load(head, cut);
        chunk.d.resize(cut.range.len());
        let d_after = d_state.to_vec();
        let matrices = kept.of(index, cut.range.len());
        work.write_back(matrices, &d_out[values.clone()], d_state, value);
        chunk.compute(&work, &written[values.clone()], &d_out[values], before, &d_after);
        if head.widths.gate > 0 {
            gate_gradient(&chunk.d_sums, (&after[index * len..(index + 1) * len], &d_after), &work.chunk, &mut chunk.d.g);
        }
        if cut.fresh {
            d_state.fill(T::ZERO);
        }
        chunk.hand_over(head, (cut, &rows), &work.chunk, d);
    }
}

/// The gradients of one chunk, and what they are made of.
struct Gradient<T> {
    d: Sheet<T>,
    scores: Scores<T>,
    pairs: Vec<T>,
    rows: Vec<T>,
    /// Of `β K`, all it stands for.
    d_beta_k: Vec<T>,
    /// Of running sums of log gates.
    d_sums: Vec<T>,
}

impl<T: Real> Gradient<T> {
    fn new(head: &Head<'_, T>) -> Self {
        Self {
            d: Sheet::new(head.widths, 0),
            scores: Scores::default(),
            pairs: vec![],
            rows: vec![],
            d_beta_k: vec![],
            d_sums: vec![],
        }
    }

    /// `work` holds the chunk, its decays, and Y.
    fn compute(&mut self, work: &Work<T>, written: &[T], d_out: &[T], before: &[T], d_after: &[T]) {
        let Work { chunk, decay, beta_k, written: y, .. } = work;
        let (len, Widths { key, value, gate, .. }) = (chunk.len, chunk.widths);
        let (before, d_after) = (Matrix::dense(before, key, value), Matrix::dense(d_after, key, value));
        self.scores.read(chunk, decay);
        self.pairs.resize(len * len, T::ZERO);
        for rows in [&mut self.d.q, &mut self.d.k, &mut self.d_beta_k] {
            rows.clear();
            rows.resize(len * key, T::ZERO);
        }
        let mut through_state = |left: &[T], state: Matrix<'_, T>, scale, factors: &[T], out: &mut [T]| {
            self.rows.resize(len * key, T::ZERO);
            product(Update::Set, MatrixMut::dense(&mut self.rows, len, key), scale, Matrix::dense(left, len, value), state.t());
            add_scaled(&self.rows, factors, (gate, key), out);
        };
        through_state(d_out, before, T::ONE, &decay.from_start, &mut self.d.q);
        through_state(written, d_after, T::ONE, &decay.to_end, &mut self.d.k);
        through_state(y, before, -T::ONE, &decay.from_start, &mut self.d_beta_k);
        let written = Matrix::dense(written, len, value);

        let mut through_pairs = |left: &[T], scale, mask, (x, y): (&[T], &[T]), (dx, dy): (&mut [T], &mut [T])| {
            product(
                Update::Set,
                MatrixMut::dense(&mut self.pairs, len, len),
                scale,
                Matrix::dense(left, len, value),
                written.t(),
            );
            self.scores.mask(mask, &mut self.pairs);
            self.scores.backward(decay, &self.pairs, (x, y), (dx, dy));
        };
        through_pairs(d_out, T::ONE, Mask::Causal, (&chunk.q, &chunk.k), (&mut self.d.q, &mut self.d.k));
        through_pairs(y, -T::ONE, Mask::Strict, (beta_k, &chunk.k), (&mut self.d_beta_k, &mut self.d.k));
        self.finish(chunk, beta_k, y);
    }

    /// From `β K` and `β V` to β, K and V, and what running sums get of all.
    fn finish(&mut self, chunk: &Sheet<T>, beta_k: &[T], y: &[T]) {
        let Widths { key, value, gate, .. } = chunk.widths;
        if gate > 0 {
            let of = |a: &[T], b: &[T], at: usize| a[at] * b[at];
            self.d_sums.clear();
            self.d_sums.extend(
                (0..chunk.k.len())
                    .map(|at| of(&chunk.q, &self.d.q, at) + of(beta_k, &self.d_beta_k, at) - of(&chunk.k, &self.d.k, at)),
            );
        }
        for token in 0..chunk.len {
            let (keys, values) = (token * key..(token + 1) * key, token * value..(token + 1) * value);
            let (beta, y, d_beta_k) = (chunk.beta[token], &y[values.clone()], &self.d_beta_k[keys.clone()]);
            self.d.beta[token] = dot(y, &chunk.v[values.clone()]) + dot(d_beta_k, &chunk.k[keys.clone()]);
            self.d.v[values].iter_mut().zip(y).for_each(|(d, &y)| *d = beta * y);
            self.d.k[keys].iter_mut().zip(d_beta_k).for_each(|(d, &x)| *d += beta * x);
        }
    }

    fn hand_over(&mut self, head: &Head<'_, T>, (cut, rows): (&Cut, &Range<usize>), chunk: &Sheet<T>, d: &mut Sheet<T>) {
        head.pull_back(&cut.range, chunk, &mut self.d);
        self.d.give(d, rows);
    }
}
