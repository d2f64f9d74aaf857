//! Gated sums: `S_t = Diag(a_t) S_{t−1} + k_t v_tᵀ`, `o_t = S_tᵀ q_t`, with no gate, one a token, or one a key channel.
//!
//! In a chunk with the state S before it, B the running sum of log gates and L its length (GLA, arXiv 2312.06635, §4):
//!
//! ```text
//! P_ij = Σ_d q_id k_jd e^(B_id − B_jd)  for j ≤ i
//! O    = P V + (e^B ⊙ Q) S
//! S'   = e^(B_L) ⊙ S + (e^(B_L − B) ⊙ K)ᵀ V
//! ```
//!
//! and backward, with dP = dO Vᵀ where P is:
//!
//! ```text
//! dQ = dP·K + e^B ⊙ (dO Sᵀ)        dK = dPᵀ·Q + e^(B_L − B) ⊙ (V dS'ᵀ)      (· under the same decays)
//! dV = Pᵀ dO + (e^(B_L − B) ⊙ K) dS'
//! dS = e^(B_L) ⊙ dS' + (e^B ⊙ Q)ᵀ dO
//! dg_t = Σ_{u ≥ t} (q_u ⊙ dq_u − k_u ⊙ dk_u) + Σ_cols S' ⊙ dS'
//! ```

mod backward;
mod gla;
mod liger;
mod lightning;
mod linear;
mod scalar;
#[cfg(test)]
mod tests;

use super::{
    Real, Transition,
    chunkwise::{Cut, Decay, Head, Mask, Output, Pass, Rule, Scores, Sheet, Widths},
    heads::axpy,
    matrix::{Matrix, MatrixMut, Update, product},
};

pub use gla::Gla;
pub use liger::Liger;
pub use lightning::Lightning;
pub use linear::LinearAttention;
pub use scalar::ScalarGate;

/// The rule of gated sums.
#[derive(Debug)]
pub(crate) struct Gated;

/// What a pass over chunks writes to again and again.
struct Work<T> {
    chunk: Sheet<T>,
    decay: Decay<T>,
    scores: Scores<T>,
    /// Scores of one chunk.
    pairs: Vec<T>,
    /// Scaled rows of one chunk.
    rows: Vec<T>,
}

impl<T: Real> Work<T> {
    fn new(head: &Head<'_, T>) -> Self {
        Self {
            chunk: Sheet::new(head.widths, 0),
            decay: Decay::default(),
            scores: Scores::default(),
            pairs: vec![],
            rows: vec![],
        }
    }

    /// Loads a chunk.
    fn load(&mut self, head: &Head<'_, T>, cut: &Cut) {
        head.load(&cut.range, &mut self.chunk);
        self.decay.read(&self.chunk);
    }

    /// The outputs of the loaded chunk as far as they come from inside it.
    fn answer_within(&mut self, out: &mut [T]) {
        let (len, value) = (self.chunk.len, self.chunk.widths.value);
        self.scores.read(&self.chunk, &self.decay);
        self.pairs.resize(len * len, T::ZERO);
        self.scores.forward(&self.decay, &self.chunk.q, &self.chunk.k, Mask::Causal, &mut self.pairs);
        let (pairs, v) = (Matrix::dense(&self.pairs, len, len), Matrix::dense(&self.chunk.v, len, value));
        product(Update::Set, MatrixMut::dense(out, len, value), T::ONE, pairs, v);
    }

    /// Adds to the outputs of the loaded chunk what they get from the state before it.
    fn answer_before(&mut self, scored: bool, state: &[T], out: &mut [T]) {
        let (len, Widths { key, value, .. }) = (self.chunk.len, self.chunk.widths);
        let q = match self.scores.factored(&self.decay) {
            Some((q, _)) if scored => q,
            _ => self.decay.enter(&self.chunk.q, key, &mut self.rows),
        };
        let (q, s) = (Matrix::dense(q, len, key), Matrix::dense(state, key, value));
        product(Update::Add, MatrixMut::dense(out, len, value), T::ONE, q, s);
    }

    /// The state after the loaded chunk; `scored` says whether its scores were made just now.
    fn write(&mut self, scored: bool, state: &mut [T]) {
        let (len, Widths { key, value, .. }) = (self.chunk.len, self.chunk.widths);
        let v = Matrix::dense(&self.chunk.v, len, value);
        let add = |k: &[T], state: &mut [T]| {
            let k = Matrix::dense(k, len, key);
            product(Update::Add, MatrixMut::dense(state, key, value), T::ONE, k.t(), v);
        };
        match self.scores.factored(&self.decay) {
            Some((_, k)) if scored => {
                add(k, state);
                self.decay.pass(state, value);
            }
            _ => self.decay.add(&self.chunk.k, (key, value), &mut self.rows, state, add),
        }
    }
}

impl<T: Real> Rule<T> for Gated {
    /// Outputs as far as they come from inside their chunks. They are of the first chunks of a route.
    type Kept = Vec<T>;

    fn transition(widths: Widths) -> Transition {
        if widths.gate <= 1 { Transition::Scalar } else { Transition::Diagonal }
    }

    fn step(token: &Sheet<T>, state: &mut [T]) {
        for (row, &k) in state.chunks_mut(token.widths.value).zip(&token.k) {
            axpy(row, k, &token.v);
        }
    }

    fn summarize(head: &Head<'_, T>, map: &mut [T]) {
        let (a, m) = map.split_at_mut(map.len() - head.state_len());
        a.fill(T::ONE);
        m.fill(T::ZERO);
        let mut work = Work::new(head);
        for cut in head.cuts() {
            if cut.fresh {
                a.fill(T::ZERO);
                m.fill(T::ZERO);
            }
            work.load(head, cut);
            work.write(false, m);
            a.iter_mut().zip(work.decay.total()).for_each(|(a, &total)| *a *= total);
        }
    }

    fn forward(head: &Head<'_, T>, cuts: &[Cut], pass: Pass, kept: &mut Vec<T>, state: &mut [T], out: &mut Output<'_, T>) {
        let value = head.widths.value;
        let (mut work, mut rows) = (Work::new(head), vec![]);
        for cut in cuts {
            let (values, scored) = (cut.range.start * value..cut.range.end * value, pass != Pass::Sweep);
            work.load(head, cut);
            rows.resize(cut.range.len() * value, T::ZERO);
            if scored {
                work.answer_within(&mut rows);
            } else {
                rows.copy_from_slice(&kept[values]);
            }
            if pass == Pass::Intra {
                kept.extend_from_slice(&rows);
                continue;
            }
            if cut.fresh {
                state.fill(T::ZERO);
            } else {
                work.answer_before(scored, state, &mut rows);
            }
            head.mend(&cut.range, &work.chunk, state, &mut rows);
            out.write(&head.route, &cut.range, &mut rows);
            work.write(scored, state);
        }
    }

    fn adjoint(head: &Head<'_, T>, d_out: &[T], map: &mut [T]) {
        backward::adjoint(head, d_out, map);
    }

    fn advance(head: &Head<'_, T>, cuts: &[Cut], state: &mut [T]) {
        let mut work = Work::new(head);
        for cut in cuts {
            if cut.fresh {
                state.fill(T::ZERO);
            }
            work.load(head, cut);
            work.write(false, state);
        }
    }

    fn backward_intra(head: &Head<'_, T>, cuts: &[Cut], d_out: &[T], d: &mut Sheet<T>) -> Vec<T> {
        backward::intra(head, cuts, d_out, d);
        vec![]
    }

    fn backward_sweep(
        head: &Head<'_, T>,
        cuts: &[Cut],
        _: &Vec<T>,
        state: &[T],
        d_out: &[T],
        d_state: &mut [T],
        d: &mut Sheet<T>,
    ) {
        backward::sweep(head, cuts, state, d_out, d_state, d);
    }
}
