//! Scores between the tokens of one chunk under any gate: `P_ij = Σ_d x_id y_jd e^(B_id − B_jd)` for j ≤ i (or j < i), and the
//! gradients through them.

use super::{
    super::{
        Real,
        matrix::{Matrix, MatrixMut, Update, product},
    },
    decay::Decay,
    elementwise::{add_product, multiply, multiply_by},
    sheet::Sheet,
    tiles::{Tile, tiles},
};

/// Which pairs of tokens have a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    /// A token and itself, and all before it.
    Causal,
    /// Only those before it.
    Strict,
}

/// The decays between the tokens of a chunk, in the form that suits its gate.
#[derive(Debug, Default)]
pub(crate) struct Scores<T> {
    len: usize,
    key: usize,
    gate: usize,
    /// `e^(B_i − B_j)` for all pairs, where all channels have the same gate.
    pairs: Vec<T>,
    /// Factors of tiles, where each channel has its own and they may not be inverted.
    tiles: Vec<Tile>,
    factors: Vec<T>,
    left: Vec<T>,
    right: Vec<T>,
    product: Vec<T>,
}

impl<T: Real> Scores<T> {
    /// Of a chunk of tokens and its decays.
    pub(crate) fn read(&mut self, chunk: &Sheet<T>, decay: &Decay<T>) {
        (self.len, self.key, self.gate) = (chunk.len, chunk.widths.key, chunk.widths.gate);
        match self.gate {
            0 => {}
            1 => self.read_pairs(&chunk.g),
            _ if decay.invertible().is_some() => self.tiles.clear(),
            _ => tiles(&chunk.g, self.key, 0..self.len, &mut self.tiles, &mut self.factors),
        }
    }

    fn read_pairs(&mut self, g: &[T]) {
        self.pairs.clear();
        self.pairs.resize(self.len * self.len, T::ZERO);
        // Each sum from its own beginning: none is the difference of two large ones.
        for i in 1..self.len {
            let (before, row) = self.pairs[(i - 1) * self.len..][..2 * self.len].split_at_mut(self.len);
            row[..i].iter_mut().zip(before).for_each(|(sum, &mut before)| *sum = before + g[i]);
        }
        T::exp_all(&mut self.pairs);
    }

    /// Writes the scores of all pairs, 0 where the mask has none. `decay` is that which was read.
    pub(crate) fn forward(&mut self, decay: &Decay<T>, x: &[T], y: &[T], mask: Mask, out: &mut [T]) {
        let (len, key) = (self.len, self.key);
        if self.gate <= 1 {
            let (x, y) = (Matrix::dense(x, len, key), Matrix::dense(y, len, key));
            product(Update::Set, MatrixMut::dense(out, len, len), T::ONE, x, y.t());
            if self.gate == 1 {
                multiply_by(out, &self.pairs);
            }
        } else if let Some((from_start, inverse)) = decay.invertible() {
            times(x, from_start, &mut self.left);
            times(y, inverse, &mut self.right);
            let (x, y) = (Matrix::dense(&self.left, len, key), Matrix::dense(&self.right, len, key));
            product(Update::Set, MatrixMut::dense(out, len, len), T::ONE, x, y.t());
        } else {
            for tile in &self.tiles {
                let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
                times(&x[rows.start * key..rows.end * key], tile.row_factors(&self.factors, key), &mut self.left);
                times(&y[cols.start * key..cols.end * key], tile.col_factors(&self.factors, key), &mut self.right);
                let at = rows.start * len + cols.start;
                product(
                    Update::Set,
                    MatrixMut::new(&mut out[at..], rows.len(), cols.len(), len),
                    T::ONE,
                    Matrix::dense(&self.left, rows.len(), key),
                    Matrix::dense(&self.right, cols.len(), key).t(),
                );
            }
        }
        self.mask(mask, out);
    }

    /// `e^B ⊙ x` and `e^(−B) ⊙ y` of the last scores, where they were made for them.
    pub(crate) fn factored(&self, decay: &Decay<T>) -> Option<(&[T], &[T])> {
        (self.gate > 1 && decay.invertible().is_some()).then_some((&self.left[..], &self.right[..]))
    }

    /// Sets to 0 what the mask has no score for.
    pub(crate) fn mask(&self, mask: Mask, scores: &mut [T]) {
        let own = usize::from(mask == Mask::Causal);
        for (i, row) in scores.chunks_mut(self.len.max(1)).enumerate() {
            row[i + own..].fill(T::ZERO);
        }
    }

    /// Adds the gradients of `x` and `y` from those of the scores, which are 0 where there are none.
    pub(crate) fn backward(&mut self, decay: &Decay<T>, d: &[T], (x, y): (&[T], &[T]), (dx, dy): (&mut [T], &mut [T])) {
        let (len, key) = (self.len, self.key);
        if self.gate <= 1 {
            let d = if self.gate == 1 {
                times(d, &self.pairs, &mut self.left);
                &self.left
            } else {
                d
            };
            let d = Matrix::dense(d, len, len);
            product(Update::Add, MatrixMut::dense(dx, len, key), T::ONE, d, Matrix::dense(y, len, key));
            product(Update::Add, MatrixMut::dense(dy, len, key), T::ONE, d.t(), Matrix::dense(x, len, key));
            return;
        }
        let (left, right, room) = (&mut self.left, &mut self.right, &mut self.product);
        let mut through = |d: Matrix<'_, T>, (x, y): (&[T], &[T]), (of_x, of_y): (&[T], &[T]), dx: &mut [T], dy: &mut [T]| {
            times(x, of_x, left);
            times(y, of_y, right);
            let mut add = |d, other: &[T], factors: &[T], out: &mut [T]| {
                room.resize(out.len(), T::ZERO);
                let into = MatrixMut::dense(room, out.len() / key, key);
                product(Update::Set, into, T::ONE, d, Matrix::dense(other, other.len() / key, key));
                add_product(out, room, factors);
            };
            add(d, right, of_x, dx);
            add(d.t(), left, of_y, dy);
        };
        if let Some(factors) = decay.invertible() {
            return through(Matrix::dense(d, len, len), (x, y), factors, dx, dy);
        }
        for tile in &self.tiles {
            let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
            let (row_range, col_range) = (rows.start * key..rows.end * key, cols.start * key..cols.end * key);
            let factors = (tile.row_factors(&self.factors, key), tile.col_factors(&self.factors, key));
            let d = Matrix::new(&d[rows.start * len + cols.start..], rows.len(), cols.len(), len);
            through(d, (&x[row_range.clone()], &y[col_range.clone()]), factors, &mut dx[row_range], &mut dy[col_range]);
        }
    }
}

/// `out = a ⊙ b`.
fn times<T: Real>(a: &[T], b: &[T], out: &mut Vec<T>) {
    out.resize(a.len(), T::ZERO);
    multiply(out, a, b);
}
