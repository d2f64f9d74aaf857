//! Liger's linear branch (arXiv 2503.01496, as its code has it): a pre-trained layer turned into gated linear attention without new
//! parameters. Its window branch is a family of its own.

use super::{
    super::{
        Real, Tensor,
        chunkwise::{Family, Sheet, Stripe, Tokens, Widths, chunkwise, softmax, softmax_pull_back},
    },
    Gated,
    linear::query_key_value,
};

/// `S_t = Diag(e^(g_t)) S_{t−1} + softmax(k_t) v_tᵀ`, `o_t = S_tᵀ softmax(q_t)`, with gates from the keys before their softmax:
/// `g = log σ(k) / 16`.
///
/// Inputs: `q`, `k` (heads × key), `v` (heads × value), all as projected, without rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Liger {
    heads: usize,
    key: usize,
    value: usize,
}

/// What log gates are divided by.
const TEMPERATURE: f64 = 16.0;

impl Liger {
    /// Of heads with so many key and value channels.
    pub fn new(heads: usize, key: usize, value: usize) -> Self {
        Self { heads, key, value }
    }
}

impl<T: Real> Family<T> for Liger {
    fn name(&self) -> &'static str {
        "Liger"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value, gate: self.key, beta: 0 }
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        query_key_value(head, self.key, self.value)
    }

    fn features(&self, _: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        // log σ(x) = min(x, 0) − ln(1 + e^−|x|)
        chunk.g.iter_mut().zip(&chunk.k).for_each(|(g, k)| *g = -k.abs());
        T::exp_all(&mut chunk.g);
        T::ln_1p_all(&mut chunk.g);
        for (g, &k) in chunk.g.iter_mut().zip(&chunk.k) {
            let below = if k < T::ZERO { k } else { T::ZERO };
            *g = (below - *g) * T::of(1.0 / TEMPERATURE);
        }
        softmax(&mut chunk.q, self.key);
        softmax(&mut chunk.k, self.key);
    }

    fn pull_back(&self, _: &Tokens<'_, T>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        softmax_pull_back(&chunk.q, &mut d.q, self.key);
        softmax_pull_back(&chunk.k, &mut d.k, self.key);
        // The slope of log σ is 1 − σ, and σ = e^(16 g).
        let mut sigma: Vec<T> = chunk.g.iter().map(|&g| g * T::of(TEMPERATURE)).collect();
        T::exp_all(&mut sigma);
        for (dk, (&dg, &sigma)) in d.k.iter_mut().zip(d.g.iter().zip(&sigma)) {
            *dk += dg * (T::ONE - sigma) * T::of(1.0 / TEMPERATURE);
        }
    }
}

chunkwise!(Liger, Gated);
