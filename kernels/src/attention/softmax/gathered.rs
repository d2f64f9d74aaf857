//! Causal softmax attention over all of a document; the ranks gather keys and values.

use super::{
    super::{Gathered, Gradients, Real, Span, Tensor, heads::add_columns},
    SoftmaxHeads,
    blocks::{Blocks, Rows},
};

/// Causal softmax attention. Inputs q (query heads × dk), k (key heads × dk), v (key heads × dv); output query heads × dv.
///
/// A token contributes its keys, all heads of them, and then its values: row `t` of what is gathered is token `t` of the sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softmax {
    /// Its heads.
    pub heads: SoftmaxHeads,
}

impl Softmax {
    fn blocks<'a, T>(&self, span: &'a Span<'a, T>, shared: &'a [T]) -> Blocks<'a, T> {
        let rows = |first| Rows { data: shared, stride: self.heads.pair_width(), first };
        Blocks { heads: self.heads, span, keys: rows(0), values: rows(self.heads.keys * self.heads.key_width), base: 0 }
    }
}

impl<T: Real> Gathered<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn inputs(&self) -> Vec<Tensor> {
        self.heads.inputs()
    }

    fn output_width(&self) -> usize {
        self.heads.output_width()
    }

    fn contribution_len(&self, span: &Span<'_, T>) -> usize {
        span.len() * self.heads.pair_width()
    }

    fn contribute(&self, span: &Span<'_, T>) -> Vec<T> {
        let (keys, values) = (self.heads.keys * self.heads.key_width, self.heads.keys * self.heads.value_width);
        let row = |token| {
            let row = span.row(token);
            [&span.inputs[1][row * keys..][..keys], &span.inputs[2][row * values..][..values]]
        };
        span.own.clone().flat_map(row).flatten().copied().collect()
    }

    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
        self.blocks(span, shared).forward(|token| span.documents.start_of(token)..token + 1, out);
    }

    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], gradients: &mut Gradients<T>) {
        let SoftmaxHeads { keys, key_width, value_width, .. } = self.heads;
        let stride = self.heads.pair_width();
        let reach = |token| span.documents.start_of(token)..token + 1;
        self.blocks(span, shared).backward(reach, d_out, &mut gradients.inputs[0], |head, pairs| {
            add_columns(d_shared, stride, (pairs.first, head * key_width), &pairs.keys, key_width);
            let first = keys * key_width + head * value_width;
            add_columns(d_shared, stride, (pairs.first, first), &pairs.values, value_width);
        });
    }

    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>) {
        let (keys, values) = (self.heads.keys * self.heads.key_width, self.heads.keys * self.heads.value_width);
        let row = span.row(span.own.start);
        for (i, d_own) in d_own.chunks(keys + values).enumerate() {
            let (d_keys, d_values) = d_own.split_at(keys);
            super::super::heads::add(&mut gradients.inputs[1][(row + i) * keys..][..keys], d_keys);
            super::super::heads::add(&mut gradients.inputs[2][(row + i) * values..][..values], d_values);
        }
    }
}
