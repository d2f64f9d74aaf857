//! The delta rule: `S_t = (I − β_t k_t k_tᵀ) Diag(a_t) S_{t−1} + β_t k_t v_tᵀ`, `o_t = S_tᵀ q_t`, with no gate, one a token, or one a
//! key channel. A state that is corrected towards each value instead of added to.
//!
//! In a chunk (UT transform, arXiv 2406.06484; with decays as in arXiv 2412.06464 and 2510.26692), with the state S before it, B the
//! running sum of log gates and L its length:
//!
//! ```text
//! L_ij = β_i Σ_d k_id k_jd e^(B_id − B_jd)  for j < i        A = (I + L)⁻¹
//! X    = A (β V − (e^B ⊙ β K) S)                             what is really written
//! O    = (e^B ⊙ Q) S + P X                                   P as for gated sums
//! S'   = e^(B_L) ⊙ S + (e^(B_L − B) ⊙ K)ᵀ X
//! ```
//!
//! With `W = A (e^B ⊙ β K)` and `U = A β V` this is the WY form, `X = U − W S`. One product by A for both terms is cheaper where
//! nothing is gained by having W early.

mod backward;
mod families;
mod inverse;
mod mom;
mod routing;
#[cfg(test)]
mod tests;

use super::{
    Real, Transition,
    chunkwise::{Cut, Decay, Head, Mask, Output, Pass, Rule, Scores, Sheet, Widths},
    heads::axpy,
    matrix::{Matrix, MatrixMut, Update, product},
};

pub use families::{DeltaNet, GatedDeltaNet, Kda};
pub use mom::{Memories, MixtureOfMemories};

/// The delta rule.
#[derive(Debug)]
pub(crate) struct Delta;

/// What needs no state: A and P of each chunk, L × L each, one after the other.
#[derive(Default)]
pub(crate) struct Kept<T> {
    inverse: Vec<T>,
    pairs: Vec<T>,
    /// Where the matrices of each chunk begin.
    starts: Vec<usize>,
}

impl<T> Kept<T> {
    /// A and P of a chunk; P is empty where it was not wanted.
    fn of(&self, index: usize, len: usize) -> (&[T], &[T]) {
        let range = self.starts[index]..self.starts[index] + len * len;
        (&self.inverse[range.clone()], self.pairs.get(range).unwrap_or_default())
    }
}

/// A and P of one chunk.
struct Matrices<T> {
    scores: Scores<T>,
    lower: Vec<T>,
    inverse: Vec<T>,
    pairs: Vec<T>,
}

impl<T: Real> Matrices<T> {
    fn new() -> Self {
        Self { scores: Scores::default(), lower: vec![], inverse: vec![], pairs: vec![] }
    }

    /// A of a loaded chunk, and P where it is wanted.
    fn compute(&mut self, chunk: &Sheet<T>, decay: &Decay<T>, beta_k: &[T], pairs_too: bool) {
        let square = chunk.len * chunk.len;
        self.scores.read(chunk, decay);
        self.lower.resize(square, T::ZERO);
        self.scores.forward(decay, beta_k, &chunk.k, Mask::Strict, &mut self.lower);
        self.inverse.resize(square, T::ZERO);
        inverse::invert(&self.lower, chunk.len, &mut self.inverse);
        if pairs_too {
            self.pairs.resize(square, T::ZERO);
            self.scores.forward(decay, &chunk.q, &chunk.k, Mask::Causal, &mut self.pairs);
        }
    }
}

/// What a pass over chunks writes to again and again.
struct Work<T> {
    chunk: Sheet<T>,
    decay: Decay<T>,
    /// `β K`, and with gates the same decayed from the chunk's start.
    beta_k: Vec<T>,
    erase: Vec<T>,
    /// What is written: rows of state columns.
    written: Vec<T>,
    /// Decayed queries or keys.
    rows: Vec<T>,
    /// A product on its way.
    right: Vec<T>,
}

impl<T: Real> Work<T> {
    fn new(head: &Head<'_, T>) -> Self {
        Self {
            chunk: Sheet::new(head.widths, 0),
            decay: Decay::default(),
            beta_k: vec![],
            erase: vec![],
            written: vec![],
            rows: vec![],
            right: vec![],
        }
    }

    /// Loads a chunk.
    fn load(&mut self, head: &Head<'_, T>, cut: &Cut) {
        head.load(&cut.range, &mut self.chunk);
        self.decay.read(&self.chunk);
        by_row(&self.chunk.k, &self.chunk.beta, head.widths.key, &mut self.beta_k);
        if head.widths.gate > 0 {
            self.decay.enter(&self.beta_k, head.widths.key, &mut self.erase);
        }
    }

    /// `e^B ⊙ β K`.
    fn erase(&self) -> &[T] {
        if self.chunk.widths.gate > 0 { &self.erase } else { &self.beta_k }
    }

    /// `X = A (β V − (e^B ⊙ β K) S)` for a state with so many columns, of which the last are those of values.
    fn written(&mut self, inverse: &[T], state: &[T], cols: usize) {
        let (len, Widths { key, value, .. }) = (self.chunk.len, self.chunk.widths);
        self.right.clear();
        self.right.resize(len * cols, T::ZERO);
        for ((right, v), &beta) in self.right.chunks_mut(cols).zip(self.chunk.v.chunks(value)).zip(&self.chunk.beta) {
            right[cols - value..].iter_mut().zip(v).for_each(|(right, &v)| *right = beta * v);
        }
        let mut right = std::mem::take(&mut self.right);
        let (erase, state) = (Matrix::dense(self.erase(), len, key), Matrix::dense(state, key, cols));
        product(Update::Add, MatrixMut::dense(&mut right, len, cols), -T::ONE, erase, state);
        self.right = right;
        self.written.resize(len * cols, T::ZERO);
        let (inverse, right) = (Matrix::dense(inverse, len, len), Matrix::dense(&self.right, len, cols));
        product(Update::Set, MatrixMut::dense(&mut self.written, len, cols), T::ONE, inverse, right);
    }

    /// The state after the chunk.
    fn write(&mut self, state: &mut [T], cols: usize) {
        let (len, key) = (self.chunk.len, self.chunk.widths.key);
        let x = Matrix::dense(&self.written, len, cols);
        self.decay.add(&self.chunk.k, (key, cols), &mut self.rows, state, |k, state| {
            product(Update::Add, MatrixMut::dense(state, key, cols), T::ONE, Matrix::dense(k, len, key).t(), x);
        });
    }
}

/// `out = scale ⊙ rows`, one factor a row.
fn by_row<T: Real>(rows: &[T], scale: &[T], width: usize, out: &mut Vec<T>) {
    out.clear();
    rows.chunks(width).zip(scale).for_each(|(row, &scale)| out.extend(row.iter().map(|&x| scale * x)));
}

/// A of some chunks, and P where it is wanted.
fn keep<T: Real>(head: &Head<'_, T>, cuts: &[Cut], pairs_too: bool) -> Kept<T> {
    let mut kept = Kept::default();
    let (mut work, mut matrices) = (Work::new(head), Matrices::new());
    for cut in cuts {
        kept.starts.push(kept.inverse.len());
        work.load(head, cut);
        matrices.compute(&work.chunk, &work.decay, &work.beta_k, pairs_too);
        kept.inverse.extend_from_slice(&matrices.inverse);
        kept.pairs.extend_from_slice(&matrices.pairs);
    }
    kept
}

impl<T: Real> Rule<T> for Delta {
    type Kept = Kept<T>;

    fn transition(_: Widths) -> Transition {
        Transition::Dense
    }

    fn step(token: &Sheet<T>, state: &mut [T]) {
        let value = token.widths.value;
        let mut read = vec![T::ZERO; value];
        for (row, &k) in state.chunks(value).zip(&token.k) {
            axpy(&mut read, k, row);
        }
        let x: Vec<T> = token.v.iter().zip(&read).map(|(&v, &read)| token.beta[0] * (v - read)).collect();
        for (row, &k) in state.chunks_mut(value).zip(&token.k) {
            axpy(row, k, &x);
        }
    }

    fn summarize(head: &Head<'_, T>, map: &mut [T]) {
        let Widths { key, value, .. } = head.widths;
        // Transition and state side by side: what no value is added to is the transition.
        let cols = key + value;
        let (mut wide, kept, mut work) = (identity_beside_zero(key, cols), keep(head, head.cuts(), false), Work::new(head));
        for (index, cut) in head.cuts().iter().enumerate() {
            if cut.fresh {
                wide.fill(T::ZERO);
            }
            work.load(head, cut);
            work.written(kept.of(index, cut.range.len()).0, &wide, cols);
            work.write(&mut wide, cols);
        }
        apart(&wide, key, map);
    }

    fn forward(head: &Head<'_, T>, cuts: &[Cut], pass: Pass, kept: &mut Kept<T>, state: &mut [T], out: &mut Output<'_, T>) {
        if pass == Pass::Intra {
            *kept = keep(head, cuts, true);
            return;
        }
        let Widths { key, value, .. } = head.widths;
        let (mut work, mut rows, mut matrices) = (Work::new(head), vec![], Matrices::new());
        for (index, cut) in cuts.iter().enumerate() {
            let len = cut.range.len();
            if cut.fresh {
                state.fill(T::ZERO);
            }
            work.load(head, cut);
            let (inverse, pairs) = if pass == Pass::Both {
                matrices.compute(&work.chunk, &work.decay, &work.beta_k, true);
                (&matrices.inverse[..], &matrices.pairs[..])
            } else {
                kept.of(index, len)
            };
            work.written(inverse, state, value);
            let q = work.decay.enter(&work.chunk.q, key, &mut work.rows);
            rows.resize(len * value, T::ZERO);
            let (q, s) = (Matrix::dense(q, len, key), Matrix::dense(state, key, value));
            product(Update::Set, MatrixMut::dense(&mut rows, len, value), T::ONE, q, s);
            let (pairs, x) = (Matrix::dense(pairs, len, len), Matrix::dense(&work.written, len, value));
            product(Update::Add, MatrixMut::dense(&mut rows, len, value), T::ONE, pairs, x);
            out.write(&head.route, &cut.range, &mut rows);
            work.write(state, value);
        }
    }

    fn adjoint(head: &Head<'_, T>, d_out: &[T], map: &mut [T]) {
        backward::adjoint(head, d_out, map);
    }

    fn advance(head: &Head<'_, T>, cuts: &[Cut], state: &mut [T]) {
        let (mut work, mut matrices, cols) = (Work::new(head), Matrices::new(), head.widths.value);
        for cut in cuts {
            if cut.fresh {
                state.fill(T::ZERO);
            }
            work.load(head, cut);
            matrices.compute(&work.chunk, &work.decay, &work.beta_k, false);
            work.written(&matrices.inverse, state, cols);
            work.write(state, cols);
        }
    }

    fn backward_intra(head: &Head<'_, T>, cuts: &[Cut], _: &[T], _: &mut Sheet<T>) -> Kept<T> {
        keep(head, cuts, true)
    }

    fn backward_sweep(
        head: &Head<'_, T>,
        cuts: &[Cut],
        kept: &Kept<T>,
        state: &[T],
        d_out: &[T],
        d_state: &mut [T],
        d: &mut Sheet<T>,
    ) {
        backward::sweep(head, cuts, kept, state, d_out, d_state, d);
    }
}

/// `key` rows of `cols` columns, of which the first are the identity.
fn identity_beside_zero<T: Real>(key: usize, cols: usize) -> Vec<T> {
    let mut wide = vec![T::ZERO; key * cols];
    (0..key).for_each(|row| wide[row * cols + row] = T::ONE);
    wide
}

/// Transition and M side by side, one after the other.
fn apart<T: Real>(wide: &[T], key: usize, map: &mut [T]) {
    let (a, m) = map.split_at_mut(key * key);
    let value = m.len() / key;
    for (wide, (a, m)) in wide.chunks(key + value).zip(a.chunks_mut(key).zip(m.chunks_mut(value))) {
        a.copy_from_slice(&wide[..key]);
        m.copy_from_slice(&wide[key..]);
    }
}
