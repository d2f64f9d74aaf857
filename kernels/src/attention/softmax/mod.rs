//! Softmax attention in blocks, for the layers of a hybrid model that stay quadratic.
//!
//! `o_i = Σ_{j ≤ i} softmax_j(scale · q_i·k_j) v_j` inside a document, several query heads to a head of keys and values (GQA,
//! arXiv 2305.13245). Never more than a block of scores exists (FlashAttention-2, arXiv 2307.08691), and only the causal triangle
//! of each document is computed: tiles of other documents and of the future are not touched.
//!
//! | | over ranks | a token brings | cost of a token and head |
//! |---|---|---|---|
//! | [`Softmax`] | keys and values are gathered (LASP-2H, arXiv 2502.07563) | key heads × (dk + dv) | 2 n (dk + dv), n tokens before it |
//! | [`SlidingWindow`] | the w − 1 tokens before the span are its halo | nothing | 2 w (dk + dv) |

mod blocks;
mod gathered;
pub(super) mod online;
#[cfg(test)]
mod tests;
mod window;

pub use gathered::Softmax;
pub use window::SlidingWindow;

use super::Tensor;

/// The heads of softmax attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftmaxHeads {
    /// Heads of queries: a multiple of those of keys.
    pub queries: usize,
    /// Heads of keys and values.
    pub keys: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
    /// What scores are multiplied by.
    pub scale: f64,
}

impl SoftmaxHeads {
    /// As many heads of each, scaled by key_width^-1/2.
    pub fn equal(heads: usize, key_width: usize, value_width: usize) -> Self {
        Self { queries: heads, keys: heads, key_width, value_width, scale: (key_width as f64).sqrt().recip() }
    }

    /// Query heads that share a head of keys.
    fn group(&self) -> usize {
        self.queries / self.keys
    }

    fn output_width(&self) -> usize {
        self.queries * self.value_width
    }

    fn pair_width(&self) -> usize {
        self.keys * (self.key_width + self.value_width)
    }

    fn inputs(&self) -> Vec<Tensor> {
        vec![
            Tensor::new("q", self.queries * self.key_width),
            Tensor::new("k", self.keys * self.key_width),
            Tensor::new("v", self.keys * self.value_width),
        ]
    }
}
