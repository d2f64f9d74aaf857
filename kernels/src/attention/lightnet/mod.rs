//! LightNet (arXiv 2405.21022): additive recurrence, whose memory is a softmax over time for each key channel.
//!
//! ```text
//! z_t = logaddexp(z_{t−1}, k_t)          a state: (z_t, S_t), z of dk, S of dk × dv
//! S_t = e^(z_{t−1} − z_t) ⊙ S_{t−1} + e^(k_t − z_t) v_tᵀ = softmax over j ≤ t of k_j, times v_j
//! o_t = S_tᵀ q_t                          q already activated (SiLU in the paper); no scale
//! ```
//!
//! Backward, with the sums over what comes after, `D_j = Σ_{t≥j} e^(−z_t) q_t do_tᵀ` and `c_j = Σ_{t≥j} e^(−z_t) q_t ⊙ dq_t`:
//!
//! ```text
//! dq_t = S_t do_t,   dv_j = D_jᵀ e^(k_j),   dk_j = e^(k_j) ⊙ (D_j v_j − c_j)
//! ```
//!
//! where c is what `k_j` does to all later normalisers. So the state's gradient has dv + 1 columns, `e^(z)·[D c]`, and its map is
//! `Diag(e^(z_in − z_out))`: it needs z, which is a sum and not a product, from the states before the span.
//!
//! The first token starts z at −∞, as in the flash-linear-attention library; xmixers starts at 0, as if a token of zeros had come
//! before.
//!
//! Over ranks: dk (dv + 1) + 1 a head forward, dk (dv + 2) back. Cost of a token and head: 4 dk dv + 16 (3 dk + dv). No weight is
//! ever computed as a quotient of two that may overflow: blocks are short, and inside a block weights are products of decays.

mod block;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{
    Direction, Matrix, MatrixMut, Real, StateShape, Tensor, Transition, Update,
    heads::{axpy, cut},
    product,
    sweep::{Piece, Sweep, blocks_reversed, mixer_by_sweep, stretch_states},
};
use block::{BLOCK, Block, Queries, log_add};

/// LightNet's recurrence. Inputs q and k (heads × dk), v (heads × dv); output heads × dv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LightNet {
    /// Heads.
    pub heads: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
}

impl LightNet {
    /// Takes the state over one block, and writes what the block puts out.
    fn advance<T: Real>(&self, piece: &Piece<'_, T>, rows: Range<usize>, state: &mut [T], out: Option<&mut [T]>) {
        let (dk, dv, n) = (self.key_width, self.value_width, rows.len());
        let (queries, values) = (piece.inputs[0], piece.inputs[2].rows(rows.clone()));
        let (z, s) = state.split_at_mut(dk);
        let block = Block::new(piece.inputs[1], rows.clone(), z);
        if let Some(out) = out {
            let (carried, scores) = (block.carried(queries, rows.clone()), block.scores(queries, rows));
            let (carried, before) = (Matrix::dense(&carried, n, dk), Matrix::dense(s, dk, dv));
            product(Update::Set, MatrixMut::dense(out, n, dv), T::ONE, carried, before);
            product(Update::Add, MatrixMut::dense(out, n, dv), T::ONE, Matrix::dense(&scores, n, n), values);
        }
        scale_rows(s, block.kept());
        product(Update::Add, MatrixMut::dense(s, dk, dv), T::ONE, Matrix::dense(&block.weights(), n, dk).t(), values);
        z.copy_from_slice(&block.last);
    }

    /// A block on its way back, from the state before it, as far as the queries.
    fn back<T: Real>(&self, piece: &Piece<'_, T>, rows: Range<usize>, state: &[T], d_out: &[T]) -> (Block<T>, Queries<T>) {
        let (z, s) = state.split_at(self.key_width);
        let block = Block::new(piece.inputs[1], rows.clone(), z);
        let (d_out, s) = (Matrix::dense(d_out, rows.len(), self.value_width), Matrix::dense(s, self.key_width, self.value_width));
        let queries = block.back(piece.inputs[0], rows.clone(), piece.inputs[2].rows(rows), s, d_out);
        (block, queries)
    }

    /// Adds what a block's outputs make of a state to its gradient; `carried` is what the queries see of that state.
    fn add_adjoint<T: Real>(&self, carried: &[T], d_queries: &[T], d_out: &[T], d_state: &mut [T]) {
        let (dk, dv, n) = (self.key_width, self.value_width, d_out.len() / self.value_width);
        let d_values = MatrixMut::new(d_state, dk, dv, dv + 1);
        product(Update::Add, d_values, T::ONE, Matrix::dense(carried, n, dk).t(), Matrix::dense(d_out, n, dv));
        for (carried, d_queries) in carried.chunks(dk).zip(d_queries.chunks(dk)) {
            for (row, (&carried, &d_query)) in d_state.chunks_mut(dv + 1).zip(carried.iter().zip(d_queries)) {
                row[dv] += carried * d_query;
            }
        }
    }
}

/// Multiplies each row of a matrix by a number.
fn scale_rows<T: Real>(matrix: &mut [T], by: &[T]) {
    let width = matrix.len() / by.len();
    matrix.chunks_mut(width).zip(by).for_each(|(row, &by)| row.iter_mut().for_each(|x| *x *= by));
}

mixer_by_sweep!(LightNet);

impl Sweep for LightNet {
    fn name(&self) -> &'static str {
        "LightNet"
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn inputs(&self) -> Vec<Tensor> {
        vec![Tensor::new("q", self.key_width), Tensor::new("k", self.key_width), Tensor::new("v", self.value_width)]
    }

    fn output_width(&self) -> usize {
        self.value_width
    }

    fn state(&self) -> StateShape {
        let (transition, direction) = (Transition::LogSum, Direction::Forward);
        StateShape { heads: self.heads, rows: self.key_width, cols: self.value_width, transition, direction }
    }

    fn adjoint_state(&self) -> StateShape {
        let (transition, direction) = (Transition::Diagonal, Direction::Reverse);
        StateShape { heads: self.heads, rows: self.key_width, cols: self.value_width + 1, transition, direction }
    }

    fn forward<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], mut out: Option<&mut [T]>) {
        for rows in cut(piece.rows.clone(), BLOCK) {
            let at = (rows.start - piece.rows.start) * self.value_width;
            let len = rows.len() * self.value_width;
            self.advance(piece, rows, state, out.as_deref_mut().map(|out| &mut out[at..at + len]));
        }
    }

    fn recurrent<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], out: &mut [T]) {
        let (z, s) = state.split_at_mut(self.key_width);
        for (row, out) in piece.rows.clone().zip(out.chunks_mut(self.value_width)) {
            let [q, k, v] = [0, 1, 2].map(|input: usize| piece.inputs[input].row(row));
            out.fill(T::ZERO);
            for (channel, s) in s.chunks_mut(self.value_width).enumerate() {
                let (sum, before, here) = log_add(z[channel], k[channel]);
                z[channel] = sum;
                s.iter_mut().zip(v).for_each(|(s, &v)| *s = before * *s + here * v);
                axpy(out, q[channel], s);
            }
        }
    }

    fn summarize<T: Real>(&self, piece: &Piece<'_, T>, fresh: bool, map: &mut [T]) {
        map[0] = if fresh { T::ZERO } else { T::ONE };
        self.forward(piece, &mut map[1..], None);
    }

    fn adjoint<T: Real>(&self, piece: &Piece<'_, T>, state: &[T], d_out: &[T], map: &mut [T]) {
        let (kept, d_state) = map.split_at_mut(self.key_width);
        let mut state = state.to_vec();
        for rows in cut(piece.rows.clone(), BLOCK) {
            let from = rows.start - piece.rows.start;
            let d_out = &d_out[from * self.value_width..][..rows.len() * self.value_width];
            let (block, queries) = self.back(piece, rows.clone(), &state, d_out);
            let mut carried = block.carried(piece.inputs[0], rows.clone());
            carried.chunks_mut(self.key_width).for_each(|row| row.iter_mut().zip(&*kept).for_each(|(x, &kept)| *x *= kept));
            self.add_adjoint(&carried, &queries.d_queries, d_out, d_state);
            kept.iter_mut().zip(block.kept()).for_each(|(kept, &here)| *kept *= here);
            self.advance(piece, rows, &mut state, None);
        }
    }

    fn stretches<T: Real>(&self, piece: &Piece<'_, T>, state: &[T]) -> Vec<Vec<T>> {
        stretch_states(piece.rows.clone(), BLOCK, state, |rows, state| self.advance(piece, rows, state, None))
    }

    fn backward<T: Real>(&self, piece: &Piece<'_, T>, states: Vec<Vec<T>>, d_out: &[T], d_state: &mut [T]) -> Vec<Vec<T>> {
        let (dk, dv, n) = (self.key_width, self.value_width, piece.rows.len());
        let mut d = [dk, dk, dv].map(|width| vec![T::ZERO; n * width]);
        let advance = |rows: Range<usize>, state: &mut [T]| self.advance(piece, rows, state, None);
        blocks_reversed(piece.rows.clone(), BLOCK, states, advance, |rows, before, _| {
            self.back_block(piece, rows, before, d_out, d_state, &mut d);
        });
        d.into()
    }
}

impl LightNet {
    /// One block on its way back: `d` are the gradients of the piece's inputs, `d_state` that of the state after, then before it.
    fn back_block<T: Real>(
        &self,
        piece: &Piece<'_, T>,
        rows: Range<usize>,
        state: &[T],
        d_out: &[T],
        d_state: &mut [T],
        d: &mut [Vec<T>; 3],
    ) {
        let (dk, dv, n) = (self.key_width, self.value_width, rows.len());
        let from = rows.start - piece.rows.start;
        let d_out = &d_out[from * dv..][..n * dv];
        let (block, queries) = self.back(piece, rows.clone(), state, d_out);
        let [d_queries, d_keys, d_values] = d;
        d_queries[from * dk..][..n * dk].copy_from_slice(&queries.d_queries);

        // What later tokens make of this block's: through the state after it.
        let d_keys = &mut d_keys[from * dk..][..n * dk];
        let values = piece.inputs[2].rows(rows.clone());
        let after = Matrix::new(d_state, dk, dv, dv + 1);
        product(Update::Set, MatrixMut::dense(d_keys, n, dk), T::ONE, values, after.t());
        let weights = block.weights();
        for (i, (d_key, &weight)) in d_keys.iter_mut().zip(&weights).enumerate() {
            *d_key = weight * (*d_key - d_state[i % dk * (dv + 1) + dv]);
        }
        let d_values = &mut d_values[from * dv..][..n * dv];
        product(Update::Set, MatrixMut::dense(d_values, n, dv), T::ONE, Matrix::dense(&weights, n, dk), after);

        // And what its own do.
        block.back_keys(&queries, d_keys);
        let scores = Matrix::dense(&queries.scores, n, n).t();
        product(Update::Add, MatrixMut::dense(d_values, n, dv), T::ONE, scores, Matrix::dense(d_out, n, dv));

        scale_rows(d_state, block.kept());
        self.add_adjoint(&block.carried(piece.inputs[0], rows), &queries.d_queries, d_out, d_state);
    }
}
