//! Softmax attention over the last tokens only. No state: the tokens before the span that its first ones see are its halo.

use std::ops::Range;

use super::{
    super::{Carry, Gradients, Halo, Mixer, Real, Span, StateShape, Tensor},
    SoftmaxHeads,
    blocks::{Blocks, Rows},
};

/// Causal softmax attention of each token over itself and the `window` − 1 tokens of its document before it. Inputs and output as
/// [`Softmax`](super::Softmax).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlidingWindow {
    /// Its heads.
    pub heads: SoftmaxHeads,
    /// Tokens that a token sees, itself included; at least 1.
    pub window: usize,
}

impl SlidingWindow {
    fn blocks<'a, T>(&self, span: &'a Span<'a, T>) -> Blocks<'a, T> {
        let rows = |input: usize, width| Rows { data: span.inputs[input], stride: self.heads.keys * width, first: 0 };
        let (keys, values) = (rows(1, self.heads.key_width), rows(2, self.heads.value_width));
        Blocks { heads: self.heads, span, keys, values, base: span.rows.start }
    }

    fn reach<T>(&self, span: &Span<'_, T>, token: usize) -> Range<usize> {
        span.documents.start_of(token).max((token + 1).saturating_sub(self.window))..token + 1
    }
}

impl<T: Real> Mixer<T> for SlidingWindow {
    fn name(&self) -> &'static str {
        "sliding window"
    }

    fn inputs(&self) -> Vec<Tensor> {
        self.heads.inputs()
    }

    fn output_width(&self) -> usize {
        self.heads.output_width()
    }

    fn halo(&self) -> Halo {
        Halo { left: self.window - 1, right: 0 }
    }

    fn states(&self) -> Vec<StateShape> {
        vec![]
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        vec![]
    }

    fn summarize(&self, _: &Span<'_, T>, _: &mut [T]) {}

    fn forward(&self, span: &Span<'_, T>, _: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
        self.blocks(span).forward(|token| self.reach(span, token), out);
        vec![]
    }

    fn recurrent(&self, span: &Span<'_, T>, _: &mut [T], out: &mut [T]) {
        self.blocks(span).recurrent(|token| self.reach(span, token), out);
    }

    fn adjoint(&self, _: &Span<'_, T>, _: &[T], _: &[T], _: &mut [T]) {}

    fn backward(&self, span: &Span<'_, T>, _: &[T], d_out: &[T], _: Carry<'_, T>, gradients: &mut Gradients<T>) -> Vec<T> {
        let mut d_queries = std::mem::take(&mut gradients.inputs[0]);
        let reach = |token| self.reach(span, token);
        self.blocks(span).backward(reach, d_out, &mut d_queries, |head, pairs| gradients.add_pairs(&self.heads, head, pairs));
        gradients.inputs[0] = d_queries;
        vec![]
    }
}
