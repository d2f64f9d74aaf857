//! Scores between the tokens of one chunk under any gate: `P_ij = Σ_d x_id y_jd e^(B_id − B_jd)` for j ≤ i (or j < i), and the
//! gradients through them.

use super::{
    super::{
        Real,
        matrix::{Matrix, MatrixMut, Update, product},
    },
    decay::Decay,
    sheet::Sheet,
    tiles::{Tile, one_tile, tiles},
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
    /// Factors of tiles, where each channel has its own; one tile for all where gates may be inverted.
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
            _ => match decay.invertible() {
                Some(factors) => one_tile(factors, self.key, &mut self.tiles, &mut self.factors),
                None => tiles(&chunk.g, self.key, 0..self.len, &mut self.tiles, &mut self.factors),
            },
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

    /// Writes the scores of all pairs, 0 where the mask has none.
    pub(crate) fn forward(&mut self, x: &[T], y: &[T], mask: Mask, out: &mut [T]) {
        let (len, key) = (self.len, self.key);
        if self.gate <= 1 {
            let (x, y) = (Matrix::dense(x, len, key), Matrix::dense(y, len, key));
            product(Update::Set, MatrixMut::dense(out, len, len), T::ONE, x, y.t());
            if self.gate == 1 {
                out.iter_mut().zip(&self.pairs).for_each(|(out, &pair)| *out *= pair);
            }
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

    /// Sets to 0 what the mask has no score for.
    pub(crate) fn mask(&self, mask: Mask, scores: &mut [T]) {
        let own = usize::from(mask == Mask::Causal);
        for (i, row) in scores.chunks_mut(self.len.max(1)).enumerate() {
            row[i + own..].fill(T::ZERO);
        }
    }

    /// Adds the gradients of `x` and `y` from those of the scores, which are 0 where there are none.
    pub(crate) fn backward(&mut self, d: &[T], (x, y): (&[T], &[T]), (dx, dy): (&mut [T], &mut [T])) {
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
        for tile in &self.tiles {
            let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
            let (row_range, col_range) = (rows.start * key..rows.end * key, cols.start * key..cols.end * key);
            let (row_factors, col_factors) = (tile.row_factors(&self.factors, key), tile.col_factors(&self.factors, key));
            times(&x[row_range.clone()], row_factors, &mut self.left);
            times(&y[col_range.clone()], col_factors, &mut self.right);
            let d = Matrix::new(&d[rows.start * len + cols.start..], rows.len(), cols.len(), len);
            let mut add = |d, other: &[T], others, factors: &[T], out: &mut [T]| {
                self.product.resize(out.len(), T::ZERO);
                let into = MatrixMut::dense(&mut self.product, out.len() / key, key);
                product(Update::Set, into, T::ONE, d, Matrix::dense(other, others, key));
                out.iter_mut().zip(self.product.iter().zip(factors)).for_each(|(out, (&x, &f))| *out += f * x);
            };
            add(d, &self.right, cols.len(), row_factors, &mut dx[row_range]);
            add(d.t(), &self.left, rows.len(), col_factors, &mut dy[col_range]);
        }
    }
}

/// `out = a ⊙ b`.
fn times<T: Real>(a: &[T], b: &[T], out: &mut Vec<T>) {
    out.clear();
    out.extend(a.iter().zip(b).map(|(&a, &b)| a * b));
}
