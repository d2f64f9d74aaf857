//! Heads of softmax attention over a span, block after block of queries. What each token sees of its document is the caller's.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        Gradients, Real, Segment, Span,
        heads::{Columns, add_columns, runs, share_out},
    },
    SoftmaxHeads,
    online::{Back, Online, PairGradients, Pairs, QUERIES, one_query},
};

/// A tensor of heads: its rows, how far apart they lie, and where in a row the first head begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, T> {
    pub(super) data: &'a [T],
    pub(super) stride: usize,
    pub(super) first: usize,
}

impl<'a, T> Rows<'a, T> {
    fn head(&self, head: usize, width: usize) -> Columns<'a, T> {
        Columns::new(self.data, self.stride, self.first + head * width, width)
    }
}

/// Where a span finds keys and values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks<'a, T> {
    pub(super) heads: SoftmaxHeads,
    pub(super) span: &'a Span<'a, T>,
    pub(super) keys: Rows<'a, T>,
    pub(super) values: Rows<'a, T>,
    /// The token that the first row of keys and values belongs to.
    pub(super) base: usize,
}

/// The gradients of one head of keys, and of the queries that share it, over a segment.
struct Part<T> {
    kv_head: usize,
    segment: Segment,
    /// Query heads × tokens × width.
    queries: Vec<T>,
    pairs: PairGradients<T>,
}

impl<T: Real> Blocks<'_, T> {
    fn pairs(&self, head: usize) -> Pairs<'_, T> {
        let SoftmaxHeads { key_width, value_width, .. } = self.heads;
        Pairs { keys: self.keys.head(head, key_width), values: self.values.head(head, value_width) }
    }

    fn queries(&self, head: usize) -> Columns<'_, T> {
        Columns::head(self.span.inputs[0], self.heads.queries, self.heads.key_width, head)
    }

    fn rows(&self, tokens: &Range<usize>) -> Range<usize> {
        self.span.row(tokens.start)..self.span.row(tokens.end)
    }

    /// The rows of keys that the `row`-th of `tokens` sees, where token `t` sees `reach(t)`.
    fn visible<F>(&self, tokens: &Range<usize>, reach: F) -> impl Fn(usize) -> Range<usize> + use<T, F>
    where
        F: Fn(usize) -> Range<usize>,
    {
        let (base, first) = (self.base, tokens.start);
        move |row| {
            let tokens = reach(first + row);
            tokens.start - base..tokens.end - base
        }
    }

    fn absorbed(&self, head: usize, tokens: &Range<usize>, reach: impl Fn(usize) -> Range<usize>) -> Online<T> {
        let mut online = Online::new(tokens.len(), self.heads.value_width);
        let queries = self.queries(head).rows(self.rows(tokens));
        let visible = self.visible(tokens, reach);
        online.absorb(queries, T::of(self.heads.scale), self.pairs(head / self.heads.group()), visible);
        online
    }

    /// The outputs of the span's own tokens.
    pub(super) fn forward(&self, reach: impl Fn(usize) -> Range<usize> + Sync, out: &mut [T]) {
        let (width, stride) = (self.heads.value_width, self.heads.output_width());
        let runs = runs(self.span.documents, self.span.own.clone(), QUERIES);
        share_out(out, stride, runs).into_par_iter().for_each(|(tokens, out)| {
            for head in 0..self.heads.queries {
                self.absorbed(head, &tokens, &reach).write(&mut out[head * width..], stride, width);
            }
        });
    }

    /// The same, token by token.
    pub(super) fn recurrent(&self, reach: impl Fn(usize) -> Range<usize>, out: &mut [T]) {
        let width = self.heads.value_width;
        for (token, out) in self.span.own.clone().zip(out.chunks_mut(self.heads.output_width())) {
            let visible = self.visible(&(token..token + 1), &reach);
            for (head, out) in out.chunks_mut(width).enumerate() {
                let query = self.queries(head).row(self.span.row(token));
                one_query(query, T::of(self.heads.scale), self.pairs(head / self.heads.group()), visible(0), out);
            }
        }
    }

    fn backward_part(&self, kv_head: usize, segment: Segment, reach: impl Fn(usize) -> Range<usize>, d_out: &[T]) -> Part<T> {
        let SoftmaxHeads { key_width, value_width, scale, .. } = self.heads;
        let (tokens, group) = (segment.tokens.clone(), self.heads.group());
        let mut pairs = PairGradients::new(reach(tokens.start).start - self.base..tokens.end - self.base, key_width, value_width);
        let mut queries = vec![T::ZERO; group * tokens.len() * key_width];
        let mut rest = queries.as_mut_slice();
        for head in kv_head * group..(kv_head + 1) * group {
            let d_out = Columns::head(d_out, self.heads.queries, value_width, head);
            for run in runs(self.span.documents, tokens.clone(), QUERIES) {
                let own = run.start - self.span.own.start..run.end - self.span.own.start;
                let normaliser = self.absorbed(head, &run, &reach).normaliser(d_out, own.start, value_width);
                let back = Back {
                    queries: self.queries(head).rows(self.rows(&run)),
                    d_out: d_out.rows(own),
                    normaliser: &normaliser,
                    scale: T::of(scale),
                };
                let (here, after) = std::mem::take(&mut rest).split_at_mut(run.len() * key_width);
                back.through(self.pairs(kv_head), self.visible(&run, &reach), here, &mut pairs);
                rest = after;
            }
        }
        Part { kv_head, segment, queries, pairs }
    }

    /// Adds the gradients of queries to the first input, and those of keys and values to `d_keys` and `d_values`, shaped as they are.
    /// One head of keys over one document is one piece of parallel work.
    pub(super) fn backward(
        &self,
        reach: impl Fn(usize) -> Range<usize> + Sync,
        d_out: &[T],
        d_queries: &mut [T],
        mut d_pairs: impl FnMut(usize, &PairGradients<T>),
    ) {
        let parts = self.span.segments().flat_map(|segment| (0..self.heads.keys).map(move |head| (head, segment.clone())));
        let parts: Vec<_> = parts.collect();
        let parts: Vec<_> =
            parts.into_par_iter().map(|(head, segment)| self.backward_part(head, segment, &reach, d_out)).collect();
        let (width, group) = (self.heads.key_width, self.heads.group());
        for part in parts {
            let row = self.span.row(part.segment.tokens.start);
            for (i, queries) in part.queries.chunks(part.segment.tokens.len() * width).enumerate() {
                let first = (part.kv_head * group + i) * width;
                add_columns(d_queries, self.heads.queries * width, (row, first), queries, width);
            }
            d_pairs(part.kv_head, &part.pairs);
        }
    }
}

impl<T: Real> Gradients<T> {
    /// Adds gradients of heads of keys and values that are the second and third input.
    pub(super) fn add_pairs(&mut self, heads: &SoftmaxHeads, head: usize, pairs: &PairGradients<T>) {
        let SoftmaxHeads { keys, key_width, value_width, .. } = *heads;
        add_columns(&mut self.inputs[1], keys * key_width, (pairs.first, head * key_width), &pairs.keys, key_width);
        add_columns(&mut self.inputs[2], keys * value_width, (pairs.first, head * value_width), &pairs.values, value_width);
    }
}
