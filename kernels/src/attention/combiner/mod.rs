//! Combiner (arXiv 2107.05768): full attention by way of summaries. Three forms differ in which tokens a summary stands for:
//!
//! | | beside the tokens of its own region, a query sees | cost of a token and head |
//! |---|---|---|
//! | [`Combiner`] (Fixed) | one summary of each earlier region | 2 (c + n/c)(dk + dv) |
//! | [`LogsparseCombiner`] | one of each run of 2^j regions that the binary digits of its own region's number name | 2 (c + log n/c)(dk + dv) |
//! | [`AxialCombiner`] | of each earlier region the summary that the token in its own column made | 2 (c + n/c)(dk + dv) |
//!
//! This file is the Fixed form.
//!
//! A document is cut into regions of c tokens, counted from its start. A query attends to the tokens of its own region so far and
//! to one summary of each earlier region, under one softmax:
//!
//! ```text
//! k̄_s = max over s of k,   q̄_s = max over s of q,   v̄_s = Σ_{j in s} softmax_j(scale · q̄_s·k_j) v_j
//! o_i = Σ_{j in region of i, j ≤ i} w_ij v_j + Σ_{s before} w_is v̄_s,   w_i = softmax(scale · [q_i·k_j … q_i·k̄_s …])
//! ```
//!
//! Pooling is the elementwise maximum, as in the released code (`sqrt_fixed_full`, local summary `identity-max`), whose dense layers
//! around the pooling belong to the caller here. The released code needs a length that regions divide; here the last region of a
//! document may be short: nobody attends to its summary, so it has none.
//!
//! Over ranks: the summaries are gathered, each from the rank that holds its region's last token; so the c − 1 tokens before a span
//! are its halo. Sent: dk + dv a region and head, which grows with the sequence.

mod attend;
mod axial;
mod logsparse;
mod region;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Documents, Gathered, Gradients, Halo, Real, Span, Tensor,
    heads::{Columns, add_columns},
};
use region::Region;

pub use axial::AxialCombiner;
pub use logsparse::LogsparseCombiner;

/// Combiner-Fixed. Inputs q and k (heads × dk), v (heads × dv); output heads × dv.
///
/// What is gathered: for each region that has a successor, in order of the sequence, k̄ of all heads and then v̄ of all heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combiner {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
    /// Tokens of a region; about the square root of the length of documents serves best.
    pub region: usize,
    /// What scores are multiplied by.
    pub scale: f64,
}

/// A document, and which summaries are of it.
#[derive(Debug, Clone)]
struct Document {
    tokens: Range<usize>,
    first_region: usize,
}

fn documents(documents: &Documents, region: usize) -> impl Iterator<Item = Document> + use<'_> {
    documents.segments(0..documents.tokens()).scan(0, move |next, segment| {
        let first_region = *next;
        *next += (segment.tokens.len() - 1) / region;
        Some(Document { tokens: segment.tokens, first_region })
    })
}

/// The regions whose last token is among the span's own, and that have a successor: their tokens.
fn own_regions<T>(span: &Span<'_, T>, region: usize) -> Vec<Range<usize>> {
    let of = |document: Document| {
        let count = (document.tokens.len() - 1) / region;
        (0..count).map(move |i| document.tokens.start + i * region).map(move |first| first..first + region)
    };
    documents(span.documents, region).flat_map(of).filter(|region| span.own.contains(&(region.end - 1))).collect()
}

/// Adds gradients of some rows from `row` on: of every head those of all inputs, which have so many elements a head.
fn add_heads<T: Real>(gradients: &mut Gradients<T>, row: usize, heads: &[[Vec<T>; 3]], widths: [usize; 3]) {
    for (head, d_inputs) in heads.iter().enumerate() {
        for ((gradient, d_input), width) in gradients.inputs.iter_mut().zip(d_inputs).zip(widths) {
            add_columns(gradient, heads.len() * width, (row, head * width), d_input, width);
        }
    }
}

impl Combiner {
    fn summary_width(&self) -> usize {
        self.heads * (self.key_width + self.value_width)
    }

    fn region<'a, T: Real>(&self, span: &'a Span<'a, T>, tokens: &Range<usize>, head: usize) -> Region<'a, T> {
        let Combiner { heads, key_width, value_width, scale, .. } = *self;
        let columns = |input: usize, width| Columns::head(span.inputs[input], heads, width, head);
        Region {
            queries: columns(0, key_width),
            keys: columns(1, key_width),
            values: columns(2, value_width),
            rows: span.row(tokens.start)..span.row(tokens.end),
            scale: T::of(scale),
            key_width,
            value_width,
        }
    }
}

impl<T: Real> Gathered<T> for Combiner {
    fn name(&self) -> &'static str {
        "Combiner"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (keys, values) = (self.heads * self.key_width, self.heads * self.value_width);
        vec![Tensor::new("q", keys), Tensor::new("k", keys), Tensor::new("v", values)]
    }

    fn output_width(&self) -> usize {
        self.heads * self.value_width
    }

    fn halo(&self) -> Halo {
        Halo { left: self.region - 1, right: 0 }
    }

    fn contribution_len(&self, span: &Span<'_, T>) -> usize {
        own_regions(span, self.region).len() * self.summary_width()
    }

    fn contribute(&self, span: &Span<'_, T>) -> Vec<T> {
        let summaries = |tokens: Range<usize>| {
            let mut summary = vec![T::ZERO; self.summary_width()];
            let (keys, values) = summary.split_at_mut(self.heads * self.key_width);
            for (head, (key, value)) in keys.chunks_mut(self.key_width).zip(values.chunks_mut(self.value_width)).enumerate() {
                self.region(span, &tokens, head).summarize(key, value);
            }
            summary
        };
        own_regions(span, self.region).into_par_iter().map(summaries).collect::<Vec<_>>().concat()
    }

    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
        attend::forward(self, span, shared, out);
    }

    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], gradients: &mut Gradients<T>) {
        attend::backward(self, span, shared, d_out, d_shared, gradients);
    }

    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>) {
        let regions = own_regions(span, self.region);
        let part = |(tokens, d_summary): (&Range<usize>, &[T])| {
            let (d_keys, d_values) = d_summary.split_at(self.heads * self.key_width);
            let d_heads = d_keys.chunks(self.key_width).zip(d_values.chunks(self.value_width)).enumerate();
            let parts = d_heads.map(|(head, (d_key, d_value))| self.region(span, tokens, head).backward(d_key, d_value));
            (span.row(tokens.start), parts.collect::<Vec<_>>())
        };
        let parts: Vec<_> = regions.par_iter().zip(d_own.par_chunks(self.summary_width())).map(part).collect();
        for (row, parts) in parts {
            add_heads(gradients, row, &parts, [self.key_width, self.key_width, self.value_width]);
        }
    }
}
