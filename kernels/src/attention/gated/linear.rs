//! Linear attention (Katharopoulos et al., arXiv 2006.16236; without normaliser as in LASP-2, arXiv 2502.07563).

use super::{
    super::{
        Real, Tensor,
        chunkwise::{Family, Part, Sheet, Stripe, Tokens, Widths, chunkwise},
    },
    Gated,
};

/// `S_t = S_{t−1} + k_t v_tᵀ`, `o_t = scale · S_tᵀ q_t`; with a normaliser divided by `scale · q_t · Σ_{u ≤ t} k_u`.
///
/// Inputs: `q`, `k` (heads × key), `v` (heads × value), after whatever feature map; a normaliser wants positive ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearAttention {
    heads: usize,
    key: usize,
    value: usize,
    scale: f64,
    normalised: bool,
}

impl LinearAttention {
    /// Without normaliser; queries are scaled by key^−½.
    pub fn new(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value, scale: (key as f64).powf(-0.5), normalised: false }
    }

    /// With normaliser: the weights of all tokens sum to one, and no scale matters.
    pub fn normalised(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value, scale: 1.0, normalised: true }
    }

    /// With another scale of queries.
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }
}

impl<T: Real> Family<T> for LinearAttention {
    fn name(&self) -> &'static str {
        if self.normalised { "linear attention, normalised" } else { "linear attention" }
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value + usize::from(self.normalised), gate: 0, beta: 0 }
    }

    fn normalised(&self) -> bool {
        self.normalised
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        query_key_value(head, self.key, self.value)
    }

    fn features(&self, _: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        scale(&mut chunk.q, self.scale);
        if self.normalised {
            chunk.v.chunks_mut(self.value + 1).for_each(|row| row[self.value] = T::ONE);
        }
    }

    fn pull_back(&self, _: &Tokens<'_, T>, _: &Sheet<T>, d: &mut Sheet<T>) {
        scale(&mut d.q, self.scale);
    }
}

chunkwise!(LinearAttention, Gated);

/// The first three inputs of most families.
pub(crate) fn query_key_value(head: usize, key: usize, value: usize) -> Vec<Stripe> {
    vec![
        Stripe::of_head(Part::Queries, 0, head, key),
        Stripe::of_head(Part::Keys, 1, head, key),
        Stripe::of_head(Part::Values, 2, head, value),
    ]
}

/// Multiplies queries, or their gradients.
pub(crate) fn scale<T: Real>(rows: &mut [T], scale: f64) {
    if scale != 1.0 {
        rows.iter_mut().for_each(|x| *x *= T::of(scale));
    }
}
