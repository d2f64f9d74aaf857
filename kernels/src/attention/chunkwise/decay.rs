//! What the gates of a chunk do between its tokens and its ends.

use super::{
    super::{Real, heads::dot},
    elementwise::{
        add_each, add_product, add_scaled_rows, invert, multiply, multiply_rows, running_sum, scale_rows, suffix_sums,
    },
    sheet::Sheet,
};

/// How far the sum of log gates may fall for its exponential to be inverted. e^10 costs no accuracy: its inverse is as exact.
pub(super) const SAFE: f64 = 10.0;

/// With B the running sum of log gates in a chunk of L tokens: `e^B_i` from its start and `e^(B_L − B_j)` to its end. Elements a
/// token: as the gate has (none, 1, or one a key channel).
///
/// Where gates fall far, each end has a running sum of its own, so that nothing is the difference of two large numbers.
#[derive(Debug, Default)]
pub(crate) struct Decay<T> {
    width: usize,
    /// From before the first token to after each.
    pub(crate) from_start: Vec<T>,
    /// From after each token to after the last.
    pub(crate) to_end: Vec<T>,
    /// The inverse of `from_start`, where it may be inverted; otherwise nothing.
    inverse: Vec<T>,
}

impl<T: Real> Decay<T> {
    /// Of a chunk of tokens. Where each channel has a gate that may be inverted, `to_end` waits for [`Decay::read_to_end`].
    pub(crate) fn read(&mut self, chunk: &Sheet<T>) {
        self.width = chunk.widths.gate;
        if self.width == 0 {
            return;
        }
        copy(&chunk.g, &mut self.from_start);
        running_sum(&mut self.from_start, self.width);
        let gentle = self.total().iter().all(|sum| sum.abs() <= T::of(SAFE));
        T::exp_all(&mut self.from_start);
        if gentle {
            self.inverse.resize(self.from_start.len(), T::ZERO);
            invert(&mut self.inverse, &self.from_start);
            if self.width == 1 {
                self.read_to_end();
            }
        } else {
            self.inverse.clear();
            running_sum_to_end(&mut self.to_end, &chunk.g, self.width);
            T::exp_all(&mut self.to_end);
        }
    }

    /// Makes `to_end` good in any case.
    pub(crate) fn read_to_end(&mut self) {
        if !self.inverse.is_empty() {
            let total = &self.from_start[self.from_start.len().saturating_sub(self.width)..];
            self.to_end.resize(self.from_start.len(), T::ZERO);
            multiply_rows(&mut self.to_end, &self.inverse, total);
        }
    }

    /// The factors from the chunk's start and their inverses, where they may be inverted.
    pub(super) fn invertible(&self) -> Option<(&[T], &[T])> {
        (!self.inverse.is_empty()).then_some((&self.from_start, &self.inverse))
    }

    /// The gate of the whole chunk. Empty without gates or tokens.
    pub(crate) fn total(&self) -> &[T] {
        &self.from_start[self.from_start.len().saturating_sub(self.width)..]
    }

    /// `e^B_i ⊙ x`, row by row, in `room` unless it is `x`.
    pub(crate) fn enter<'a>(&self, x: &'a [T], key: usize, room: &'a mut Vec<T>) -> &'a [T] {
        scaled(x, &self.from_start, (self.width, key), room)
    }

    /// `e^(B_L − B_i) ⊙ x`, row by row, in `room` unless it is `x`.
    pub(crate) fn leave<'a>(&self, x: &'a [T], key: usize, room: &'a mut Vec<T>) -> &'a [T] {
        scaled(x, &self.to_end, (self.width, key), room)
    }

    /// Decays a state of `cols` columns to the chunk's end and adds what becomes of `x` until then. Where each channel has a gate that
    /// may be inverted, `e^(−B_i) ⊙ x` is added before the decay, which saves a pass over tokens; otherwise that of [`Decay::leave`]
    /// after it.
    pub(crate) fn add<'a>(
        &self,
        x: &'a [T],
        (key, cols): (usize, usize),
        room: &'a mut Vec<T>,
        state: &mut [T],
        add: impl FnOnce(&[T], &mut [T]),
    ) {
        if self.width <= 1 || self.inverse.is_empty() {
            self.pass(state, cols);
            return add(self.leave(x, key, room), state);
        }
        add(scaled(x, &self.inverse, (self.width, key), room), state);
        self.pass(state, cols);
    }

    /// Multiplies the rows of a state (`cols` elements each) by the gate of the whole chunk.
    pub(crate) fn pass(&self, state: &mut [T], cols: usize) {
        let total = self.total();
        match *total {
            [] => {}
            [one] => {
                let whole = state.len();
                scale_rows(state, &[one], whole);
            }
            _ => scale_rows(state, total, cols),
        }
    }
}

/// `out += e^… ⊙ x` with factors of a [`Decay`], row by row.
pub(crate) fn add_scaled<T: Real>(x: &[T], factors: &[T], (width, key): (usize, usize), out: &mut [T]) {
    match width {
        0 => add_each(out, x),
        1 => add_scaled_rows(out, x, factors, key),
        _ => add_product(out, x, factors),
    }
}

fn scaled<'a, T: Real>(x: &'a [T], factors: &[T], (width, key): (usize, usize), room: &'a mut Vec<T>) -> &'a [T] {
    match width {
        0 => return x,
        1 => {
            copy(x, room);
            scale_rows(room, factors, key);
        }
        _ => {
            room.resize(x.len(), T::ZERO);
            multiply(room, x, factors);
        }
    }
    room
}

fn copy<T: Real>(from: &[T], to: &mut Vec<T>) {
    to.clear();
    to.extend_from_slice(from);
}

/// Each row the sum of all rows after it.
fn running_sum_to_end<T: Real>(out: &mut Vec<T>, g: &[T], width: usize) {
    out.clear();
    out.resize(g.len(), T::ZERO);
    for at in (0..g.len().saturating_sub(width)).step_by(width).rev() {
        let (row, after) = out[at..at + 2 * width].split_at_mut(width);
        let g = &g[at + width..at + 2 * width];
        row.iter_mut().zip(after.iter().zip(g)).for_each(|(sum, (&after, &g))| *sum = after + g);
    }
}

/// The gradient of the log gates of a chunk: `dg_t = Σ_{u ≥ t} dB_u + Σ_cols S' ⊙ dS'`.
///
/// `d_sums` are the gradients of the running sums B, channel by channel (`q ⊙ dq − k ⊙ dk` for a gated sum); `after` and `d_after`
/// the state after the chunk and its gradient.
pub(crate) fn gate_gradient<T: Real>(d_sums: &[T], (after, d_after): (&[T], &[T]), chunk: &Sheet<T>, dg: &mut [T]) {
    let (key, value) = (chunk.widths.key, chunk.widths.value);
    let end = after.chunks(value).zip(d_after.chunks(value)).map(|(s, d)| dot(s, d));
    match chunk.widths.gate {
        0 => {}
        1 => {
            dg.iter_mut().zip(d_sums.chunks(key)).for_each(|(dg, row)| *dg = row.iter().copied().sum());
            suffix_sums(dg, &[end.sum()]);
        }
        _ => {
            dg.copy_from_slice(d_sums);
            suffix_sums(dg, &end.collect::<Vec<_>>());
        }
    }
}
