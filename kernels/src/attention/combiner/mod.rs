//! Combiner (arXiv 2107.05768) in its Fixed form: full attention by way of summaries, in n^1.5.
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
//! are its halo. Sent: dk + dv a region and head, which grows with the sequence. Cost of a token and head: 2 (c + n/c)(dk + dv).

mod attend;
mod region;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use super::{Documents, Gathered, Gradients, Halo, Real, Span, Tensor, heads::add_columns};
use region::Region;

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

impl Combiner {
    fn documents<'a>(&self, documents: &'a Documents) -> impl Iterator<Item = Document> + use<'a> {
        let region = self.region;
        documents.segments(0..documents.tokens()).scan(0, move |next, segment| {
            let first_region = *next;
            *next += (segment.tokens.len() - 1) / region;
            Some(Document { tokens: segment.tokens, first_region })
        })
    }

    /// The regions whose last token is among the span's own, and that have a successor: their tokens.
    fn own_regions<T>(&self, span: &Span<'_, T>) -> Vec<Range<usize>> {
        let of = |document: Document| {
            let count = (document.tokens.len() - 1) / self.region;
            (0..count).map(move |i| document.tokens.start + i * self.region).map(|first| first..first + self.region)
        };
        self.documents(span.documents).flat_map(of).filter(|region| span.own.contains(&(region.end - 1))).collect()
    }

    fn summary_width(&self) -> usize {
        self.heads * (self.key_width + self.value_width)
    }

    fn region<'a, T: Real>(&self, span: &'a Span<'a, T>, tokens: &Range<usize>, head: usize) -> Region<'a, T> {
        Region::new(self, span, span.row(tokens.start)..span.row(tokens.end), head)
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
        self.own_regions(span).len() * self.summary_width()
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
        self.own_regions(span).into_par_iter().map(summaries).collect::<Vec<_>>().concat()
    }

    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
        attend::forward(self, span, shared, out);
    }

    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], gradients: &mut Gradients<T>) {
        attend::backward(self, span, shared, d_out, d_shared, gradients);
    }

    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>) {
        let regions = self.own_regions(span);
        let part = |(tokens, d_summary): (&Range<usize>, &[T])| {
            let (d_keys, d_values) = d_summary.split_at(self.heads * self.key_width);
            let d_heads = d_keys.chunks(self.key_width).zip(d_values.chunks(self.value_width)).enumerate();
            let parts = d_heads.map(|(head, (d_key, d_value))| self.region(span, tokens, head).backward(d_key, d_value));
            (span.row(tokens.start), parts.collect::<Vec<_>>())
        };
        let parts: Vec<_> = regions.par_iter().zip(d_own.par_chunks(self.summary_width())).map(part).collect();
        for (row, parts) in parts {
            for (head, d_inputs) in parts.into_iter().enumerate() {
                for (i, (d_input, width)) in d_inputs.iter().zip([self.key_width, self.key_width, self.value_width]).enumerate() {
                    add_columns(&mut gradients.inputs[i], self.heads * width, (row, head * width), d_input, width);
                }
            }
        }
    }
}
