//! What the gates of a chunk do between its tokens and its ends.

use super::{
    super::{Real, heads::dot},
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
    /// Of a chunk of tokens.
    pub(crate) fn read(&mut self, chunk: &Sheet<T>) {
        self.width = chunk.widths.gate;
        if self.width == 0 {
            return;
        }
        running_sum(&mut self.from_start, &chunk.g, self.width);
        let gentle = self.total().iter().all(|sum| sum.abs() <= T::of(SAFE));
        T::exp_all(&mut self.from_start);
        self.inverse.clear();
        if gentle {
            self.inverse.extend(self.from_start.iter().map(|&factor| T::ONE / factor));
            let total = &self.from_start[self.from_start.len().saturating_sub(self.width)..];
            self.to_end.clear();
            for row in self.inverse.chunks(self.width) {
                self.to_end.extend(total.iter().zip(row).map(|(&total, &inverse)| total * inverse));
            }
        } else {
            running_sum_to_end(&mut self.to_end, &chunk.g, self.width);
            T::exp_all(&mut self.to_end);
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

    /// `out = e^B_i ⊙ x`, row by row.
    pub(crate) fn enter(&self, x: &[T], key: usize, out: &mut Vec<T>) {
        scaled(x, &self.from_start, (self.width, key), out);
    }

    /// `out = e^(B_L − B_i) ⊙ x`, row by row.
    pub(crate) fn leave(&self, x: &[T], key: usize, out: &mut Vec<T>) {
        scaled(x, &self.to_end, (self.width, key), out);
    }

    /// Multiplies the rows of a state (`cols` elements each) by the gate of the whole chunk.
    pub(crate) fn pass(&self, state: &mut [T], cols: usize) {
        let total = self.total();
        match *total {
            [] => {}
            [one] => state.iter_mut().for_each(|s| *s *= one),
            _ => {
                for (row, &a) in state.chunks_mut(cols).zip(total) {
                    row.iter_mut().for_each(|s| *s *= a);
                }
            }
        }
    }
}

/// `out += e^… ⊙ x` with factors of a [`Decay`], row by row.
pub(crate) fn add_scaled<T: Real>(x: &[T], factors: &[T], (width, key): (usize, usize), out: &mut [T]) {
    match width {
        0 => out.iter_mut().zip(x).for_each(|(out, &x)| *out += x),
        1 => {
            for ((out, x), &f) in out.chunks_mut(key).zip(x.chunks(key)).zip(factors) {
                out.iter_mut().zip(x).for_each(|(out, &x)| *out += f * x);
            }
        }
        _ => out.iter_mut().zip(x.iter().zip(factors)).for_each(|(out, (&x, &f))| *out += f * x),
    }
}

fn scaled<T: Real>(x: &[T], factors: &[T], (width, key): (usize, usize), out: &mut Vec<T>) {
    out.clear();
    match width {
        0 => out.extend_from_slice(x),
        1 => x.chunks(key).zip(factors).for_each(|(x, &f)| out.extend(x.iter().map(|&x| f * x))),
        _ => out.extend(x.iter().zip(factors).map(|(&x, &f)| f * x)),
    }
}

/// Each row the sum of all rows up to it.
fn running_sum<T: Real>(out: &mut Vec<T>, g: &[T], width: usize) {
    out.clear();
    out.extend_from_slice(&g[..width.min(g.len())]);
    for (before, g) in g.chunks(width).skip(1).enumerate() {
        out.resize(out.len() + width, T::ZERO);
        let (before, row) = out[before * width..].split_at_mut(width);
        row.iter_mut().zip(before.iter().zip(g)).for_each(|(sum, (&before, &g))| *sum = before + g);
    }
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

/// Turns rows into the sums of themselves and all rows after them, each plus `end`.
fn suffix_sums<T: Real>(rows: &mut [T], end: &[T]) {
    let mut sum = end.to_vec();
    for row in rows.chunks_mut(end.len().max(1)).rev() {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += *x;
            *x = *sum;
        }
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
