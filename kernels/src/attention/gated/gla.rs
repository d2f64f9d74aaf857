//! Gated linear attention (arXiv 2312.06635): a gate for each key channel of each token.

use super::{
    super::{
        Real, Tensor,
        chunkwise::{Family, Part, Sheet, Stripe, Tokens, Widths, chunkwise},
    },
    Gated,
    linear::{query_key_value, scale},
};

/// `S_t = Diag(e^(g_t)) S_{t−1} + k_t v_tᵀ`, `o_t = scale · S_tᵀ q_t`. Also HGRN2 and RWKV-6 without bonus.
///
/// Inputs: `q`, `k`, `g` (heads × key; logarithms of gates, not positive), `v` (heads × value).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gla {
    heads: usize,
    key: usize,
    value: usize,
    scale: f64,
}

impl Gla {
    /// Queries are scaled by key^−½.
    pub fn new(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value, scale: (key as f64).powf(-0.5) }
    }

    /// With another scale of queries.
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }
}

impl<T: Real> Family<T> for Gla {
    fn name(&self) -> &'static str {
        "gated linear attention"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value), Tensor::new("g", key)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value, gate: self.key, beta: 0 }
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        let mut stripes = query_key_value(head, self.key, self.value);
        stripes.push(Stripe::of_head(Part::Gates, 3, head, self.key));
        stripes
    }

    fn features(&self, _: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        scale(&mut chunk.q, self.scale);
    }

    fn pull_back(&self, _: &Tokens<'_, T>, _: &Sheet<T>, d: &mut Sheet<T>) {
        scale(&mut d.q, self.scale);
    }
}

chunkwise!(Gla, Gated);
