//! Hedgehog's feature map (arXiv 2402.04347): positive features that may be as spiky as softmax itself.

use super::super::{
    Real,
    chunkwise::{softmax, softmax_pull_back},
};

/// Features below this count as this, as in LoLCATs' code, so that no sum of weights is zero.
const LEAST: f64 = 1e-12;

/// Over what the softmax of Hedgehog's features goes. With x W the projected row:
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgehogForm {
    /// `[softmax(x W), softmax(−x W)]`: LoLCATs' code (arXiv 2410.10254).
    Two,
    /// `softmax([2 x W, −2 x W])`: the flash-linear-attention library.
    One,
}

/// Rows of `2 · features`: the logits x W in the first half, turned into features, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HedgehogMap {
    pub(crate) features: usize,
    pub(crate) form: HedgehogForm,
}

impl HedgehogMap {
    /// What a logit is multiplied by, and how many features one softmax goes over.
    fn factor_and_width<T: Real>(&self) -> (T, usize) {
        match self.form {
            HedgehogForm::Two => (T::ONE, self.features),
            HedgehogForm::One => (T::of(2.0), 2 * self.features),
        }
    }

    /// Turns logits into features.
    pub(crate) fn apply<T: Real>(&self, rows: &mut [T]) {
        let (factor, width) = self.factor_and_width::<T>();
        for row in rows.chunks_mut(2 * self.features) {
            let (plus, minus) = row.split_at_mut(self.features);
            for (plus, minus) in plus.iter_mut().zip(minus) {
                *plus *= factor;
                *minus = -*plus;
            }
        }
        softmax(rows, width);
        rows.iter_mut().for_each(|x| *x = x.max(T::of(LEAST)));
    }

    /// Turns the gradients of features into those of logits, in the first half of each row.
    pub(crate) fn pull_back<T: Real>(&self, features: &[T], d: &mut [T]) {
        let (factor, width) = self.factor_and_width::<T>();
        softmax_pull_back(features, d, width);
        for row in d.chunks_mut(2 * self.features) {
            let (plus, minus) = row.split_at_mut(self.features);
            plus.iter_mut().zip(minus).for_each(|(plus, minus)| *plus = factor * (*plus - *minus));
        }
    }
}
