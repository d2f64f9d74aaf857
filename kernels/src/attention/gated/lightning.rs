//! Constant decay: Lightning Attention-2 (arXiv 2401.04658) and RetNet (arXiv 2307.08621).

use super::{
    super::{
        Gradients, Real, Span, Tensor,
        chunkwise::{Family, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise, merge_stripes},
    },
    Gated,
    linear::query_key_value,
};

/// `S_t = e^(−s) S_{t−1} + k_t v_tᵀ`, `o_t = S_tᵀ q_t`, with a slope s for each head. No scale, no normaliser.
///
/// Inputs: `q`, `k` (heads × key), `v` (heads × value), activated already. Parameter: `slopes` (heads, not negative), of either
/// convention: [`Lightning::alibi_slopes`], [`Lightning::layer_slopes`]. The two are incompatible, so a checkpoint must say which.
/// Slopes have a gradient, for those who train them. The state is `Σ e^(−s (t − u)) k_u v_uᵀ`; the authors' code stores it multiplied
/// by one more `e^(−s)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lightning {
    heads: usize,
    key: usize,
    value: usize,
}

impl Lightning {
    /// Of heads with so many key and value channels.
    pub fn new(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value }
    }

    /// The authors' slopes, those of ALiBi: `2^(−8 (h + 1) / heads)` for head h.
    pub fn alibi_slopes(heads: usize) -> Vec<f64> {
        (1..=heads).map(|head| (-8.0 * head as f64 / heads as f64).exp2()).collect()
    }

    /// The slopes of flash-linear-attention: `(8 / heads) (1 − layer / layers) h` for head h. The first head does not decay.
    pub fn layer_slopes(heads: usize, layer: usize, layers: usize) -> Vec<f64> {
        let depth = 1.0 - layer as f64 / layers as f64;
        (0..heads).map(|head| 8.0 / heads as f64 * depth * head as f64).collect()
    }

    /// RetNet's: `−ln(1 − 2^(−5 − h))` for head h.
    pub fn retention_slopes(heads: usize) -> Vec<f64> {
        (0..heads).map(|head| -(-(-5.0 - head as f64).exp2()).ln_1p()).collect()
    }
}

impl<T: Real> Family<T> for Lightning {
    fn name(&self) -> &'static str {
        "lightning attention"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn params(&self) -> Vec<Tensor> {
        vec![Tensor::new("slopes", self.heads)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value, gate: 1, beta: 0 }
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        query_key_value(head, self.key, self.value)
    }

    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        chunk.g.fill(-tokens.span.params[0][tokens.head]);
    }

    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let stripes: Vec<_> = (0..self.heads).map(|head| query_key_value(head, self.key, self.value)).collect();
        merge_stripes(&stripes, span, &Family::<T>::inputs(self), stretch, gradients);
        for (slope, head) in gradients.params[0].iter_mut().zip(&stretch.sheets) {
            // In f64: one number gathers all tokens.
            *slope -= T::of(head.g.iter().map(|g| g.to_f64()).sum());
        }
    }
}

chunkwise!(Lightning, Gated);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_the_three_conventions() {
        assert_eq!(Lightning::alibi_slopes(4), [0.25, 0.0625, 0.015625, 0.00390625]);
        assert_eq!(Lightning::layer_slopes(4, 1, 2), [0.0, 1.0, 2.0, 3.0]);
        let decays: Vec<f64> = Lightning::retention_slopes(2).iter().map(|s| (-s).exp()).collect();
        assert!((decays[0] - 31.0 / 32.0).abs() < 1e-15 && (decays[1] - 63.0 / 64.0).abs() < 1e-15);
    }
}
