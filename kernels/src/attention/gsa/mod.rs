//! Gated Slot Attention (arXiv 2409.07146): a memory of m slots, each with a key and a value, all fading by one gate.
//!
//! ```text
//! K_t = Diag(a_t) K_{t−1} + s_t k_tᵀ      slots × dk     a_t = e^(g_t), one number a slot
//! V_t = Diag(a_t) V_{t−1} + s_t v_tᵀ      slots × dv     s_t: how much each slot takes in
//! o_t = V_tᵀ softmax(scale · K_t q_t)
//! ```
//!
//! The released kernels make two passes of gated linear attention with the softmax between, and hold K transposed. Here both
//! memories are one state, slots × (dk + dv), with one diagonal transition: the softmax is local to a token, so one map carries both
//! over ranks, and one map their gradients. Gates, s (often `1 − a`) and activations are the caller's.
//!
//! Over ranks: slots × (dk + dv + 1) a head, in both directions. Cost of a token and head: 4 m (dk + dv) + 16 (dk + dv + 5 m).
//! Weights are products of decays inside short blocks, so the strongest gate does no harm, 0 included.

mod block;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{
    Direction, Real, StateShape, Tensor, Transition,
    heads::{axpy, cut, dot, softmax},
    sweep::{Piece, Sweep, blocks_reversed, mixer_by_sweep, stretch_states},
};
use block::{BLOCK, Block};

/// Gated Slot Attention. Inputs q and k (heads × dk), v (heads × dv), s and g (heads × slots; g ≤ 0 the logarithm of the gate);
/// output heads × dv.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GatedSlots {
    /// Heads.
    pub heads: usize,
    /// Slots of a head.
    pub slots: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
    /// What scores of slots are multiplied by.
    pub scale: f64,
}

impl GatedSlots {
    fn shape(&self, direction: Direction) -> StateShape {
        let cols = self.key_width + self.value_width;
        StateShape { heads: self.heads, rows: self.slots, cols, transition: Transition::Diagonal, direction }
    }

    fn block<'a, T: Real>(&self, piece: &Piece<'a, T>, rows: Range<usize>) -> Block<'a, T> {
        let [q, k, v, s, g] = [0, 1, 2, 3, 4].map(|input: usize| piece.inputs[input]);
        Block::new(*self, [q, k, v, s], g, rows)
    }
}

mixer_by_sweep!(GatedSlots);

impl Sweep for GatedSlots {
    fn name(&self) -> &'static str {
        "GSA"
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn inputs(&self) -> Vec<Tensor> {
        vec![
            Tensor::new("q", self.key_width),
            Tensor::new("k", self.key_width),
            Tensor::new("v", self.value_width),
            Tensor::new("s", self.slots),
            Tensor::new("g", self.slots),
        ]
    }

    fn output_width(&self) -> usize {
        self.value_width
    }

    fn state(&self) -> StateShape {
        self.shape(Direction::Forward)
    }

    fn adjoint_state(&self) -> StateShape {
        self.shape(Direction::Reverse)
    }

    fn forward<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], mut out: Option<&mut [T]>) {
        for rows in cut(piece.rows.clone(), BLOCK) {
            let at = (rows.start - piece.rows.start) * self.value_width;
            let len = rows.len() * self.value_width;
            let block = self.block(piece, rows);
            if let Some(out) = out.as_deref_mut() {
                block.output(state, &mut out[at..at + len]);
            }
            block.advance(state);
        }
    }

    fn recurrent<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], out: &mut [T]) {
        for (row, out) in piece.rows.clone().zip(out.chunks_mut(self.value_width)) {
            let [q, k, v, s, g] = [0, 1, 2, 3, 4].map(|input: usize| piece.inputs[input].row(row));
            let mut scores = vec![T::ZERO; self.slots];
            for (slot, memory) in state.chunks_mut(self.key_width + self.value_width).enumerate() {
                let gate = g[slot].exp();
                for (memory, &x) in memory.iter_mut().zip(k.iter().chain(v)) {
                    *memory = gate * *memory + s[slot] * x;
                }
                scores[slot] = T::of(self.scale) * dot(&memory[..self.key_width], q);
            }
            softmax(&mut scores);
            out.fill(T::ZERO);
            for (memory, &score) in state.chunks(self.key_width + self.value_width).zip(&scores) {
                axpy(out, score, &memory[self.key_width..]);
            }
        }
    }

    fn summarize<T: Real>(&self, piece: &Piece<'_, T>, fresh: bool, map: &mut [T]) {
        let (kept, state) = map.split_at_mut(self.slots);
        for rows in cut(piece.rows.clone(), BLOCK) {
            let block = self.block(piece, rows);
            block.advance(state);
            kept.iter_mut().zip(block.kept()).for_each(|(kept, &here)| *kept *= here);
        }
        if fresh {
            kept.fill(T::ZERO);
        }
    }

    fn adjoint<T: Real>(&self, piece: &Piece<'_, T>, state: &[T], d_out: &[T], map: &mut [T]) {
        let (kept, d_state) = map.split_at_mut(self.slots);
        let mut state = state.to_vec();
        for rows in cut(piece.rows.clone(), BLOCK) {
            let from = rows.start - piece.rows.start;
            let d_out = &d_out[from * self.value_width..][..rows.len() * self.value_width];
            let block = self.block(piece, rows);
            block.back(&state, d_out).add_adjoint(&block, d_out, kept, d_state);
            kept.iter_mut().zip(block.kept()).for_each(|(kept, &here)| *kept *= here);
            block.advance(&mut state);
        }
    }

    fn stretches<T: Real>(&self, piece: &Piece<'_, T>, state: &[T]) -> Vec<Vec<T>> {
        stretch_states(piece.rows.clone(), BLOCK, state, |rows, state| self.block(piece, rows).advance(state))
    }

    fn backward<T: Real>(&self, piece: &Piece<'_, T>, states: Vec<Vec<T>>, d_out: &[T], d_state: &mut [T]) -> Vec<Vec<T>> {
        let widths: Vec<_> = Sweep::inputs(self).into_iter().map(|tensor| tensor.width).collect();
        let mut d: Vec<_> = widths.iter().map(|width| vec![T::ZERO; piece.rows.len() * width]).collect();
        let advance = |rows: Range<usize>, state: &mut [T]| self.block(piece, rows).advance(state);
        blocks_reversed(piece.rows.clone(), BLOCK, states, advance, |rows, before, after| {
            let from = rows.start - piece.rows.start;
            let d_out = &d_out[from * self.value_width..][..rows.len() * self.value_width];
            let block = self.block(piece, rows);
            let d_inputs = block.back(before, d_out).through(&block, d_out, (before, after), d_state);
            for ((d, part), width) in d.iter_mut().zip(d_inputs).zip(&widths) {
                d[from * width..][..part.len()].copy_from_slice(&part);
            }
        });
        d
    }
}
