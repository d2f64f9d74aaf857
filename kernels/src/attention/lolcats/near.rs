//! The window's part of LoLCATs: its sums, unnormalised, and their gradients.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        Gradients, Real, Span,
        heads::{Columns, add_columns, axpy, dot, runs},
        softmax::online::{Back, Normaliser, Online, PairGradients, Pairs, QUERIES},
    },
    FACTOR, Lolcats,
};

/// The sums of a block of queries of one head.
struct Block<T> {
    head: usize,
    tokens: Range<usize>,
    online: Online<T>,
}

/// The window's part over a span.
pub(super) struct Near<'a, T> {
    of: &'a Lolcats,
    span: &'a Span<'a, T>,
    blocks: Vec<Block<T>>,
}

/// What one block makes of its inputs.
struct Part<T> {
    queries: Vec<T>,
    pairs: PairGradients<T>,
    factor: T,
}

pub(super) fn pairs<'a, T: Real>(of: &Lolcats, span: &Span<'a, T>, head: usize) -> Pairs<'a, T> {
    let input = |input: usize, width| Columns::head(span.inputs[input], of.heads, width, head);
    Pairs { keys: input(1, of.key), values: input(2, of.value) }
}

/// The rows of the tokens that `token` sees.
pub(super) fn reach<T>(of: &Lolcats, span: &Span<'_, T>, token: usize) -> Range<usize> {
    let start = span.documents.start_of(token).max((token + 1).saturating_sub(of.window));
    span.row(start)..span.row(token) + 1
}

impl<'a, T: Real> Near<'a, T> {
    /// Computes the sums of all blocks of all heads.
    pub(super) fn new(of: &'a Lolcats, span: &'a Span<'a, T>) -> Self {
        let runs = runs(span.documents, span.own.clone(), QUERIES);
        let pieces: Vec<_> = runs.into_iter().flat_map(|run| (0..of.heads).map(move |head| (head, run.clone()))).collect();
        let block = |(head, tokens): (usize, Range<usize>)| {
            let mut online = Online::new(tokens.len(), of.value);
            let visible = |row| reach(of, span, tokens.start + row);
            let queries = Columns::head(span.inputs[0], of.heads, of.key, head);
            let rows = span.row(tokens.start)..span.row(tokens.end);
            online.absorb(queries.rows(rows), T::of(of.scale), pairs(of, span, head), visible);
            Block { head, tokens, online }
        };
        Self { of, span, blocks: pieces.into_par_iter().map(block).collect() }
    }

    /// Adds them, weighted by γ, to rows of sums: of each head, the values and what they are divided by.
    pub(super) fn add_to(&self, sums: &mut [T]) {
        let (value, stride) = (self.of.value, self.of.sums_width());
        for Block { head, tokens, online } in &self.blocks {
            let gamma = self.of.gamma(self.span, *head);
            let rows = sums.chunks_mut(stride).skip(tokens.start - self.span.own.start);
            for ((row, mixed), &sum) in rows.zip(online.mixed.chunks(value)).zip(&online.sum) {
                let row = &mut row[head * (value + 1)..][..value + 1];
                axpy(row, gamma, mixed);
                row[value] += gamma * sum;
            }
        }
    }

    /// Adds the gradients of the inputs and of the factor. `sums` are those of both parts.
    pub(super) fn backward(&self, sums: &[T], d_out: &[T], gradients: &mut Gradients<T>) {
        let parts: Vec<_> = self.blocks.par_iter().map(|block| self.block_backward(block, sums, d_out)).collect();
        let Lolcats { heads, key, value, .. } = *self.of;
        for (Block { head, tokens, .. }, part) in self.blocks.iter().zip(parts) {
            let row = self.span.row(tokens.start);
            add_columns(&mut gradients.inputs[0], heads * key, (row, head * key), &part.queries, key);
            add_columns(&mut gradients.inputs[1], heads * key, (part.pairs.first, head * key), &part.pairs.keys, key);
            let place = (part.pairs.first, head * value);
            add_columns(&mut gradients.inputs[2], heads * value, place, &part.pairs.values, value);
            gradients.params[FACTOR][*head] += part.factor;
        }
    }

    fn block_backward(&self, Block { head, tokens, online }: &Block<T>, sums: &[T], d_out: &[T]) -> Part<T> {
        let (of, span) = (self.of, self.span);
        let Lolcats { heads, key, value, scale, .. } = *of;
        let (gamma, scale) = (of.gamma(span, *head), T::of(scale));
        let own = tokens.start - span.own.start..tokens.end - span.own.start;
        let d_out = Columns::head(d_out, heads, value, *head);
        let sums = Columns::head(sums, heads, value + 1, *head);

        // Weights are γ e^(s − c) / D: those of a softmax whose sum has the far part in it too.
        let mut normaliser = Normaliser { log_sum: vec![], mean: vec![] };
        let mut residues = vec![];
        for (row, place) in own.clone().enumerate() {
            let sums = sums.row(place);
            let part = T::ONE / sums[value];
            let mean = part * dot(&sums[..value], d_out.row(place));
            normaliser.log_sum.push(online.top[row] - (gamma * part).ln());
            normaliser.mean.push(mean);
            let mixed = &online.mixed[row * value..][..value];
            residues.push(gamma * part * (dot(mixed, d_out.row(place)) - mean * online.sum[row]));
        }
        let rows = span.row(tokens.start)..span.row(tokens.end);
        let queries = Columns::head(span.inputs[0], heads, key, *head);
        let back = Back { queries: queries.rows(rows.clone()), d_out: d_out.rows(own), normaliser: &normaliser, scale };
        let mut part = Part {
            queries: vec![T::ZERO; tokens.len() * key],
            pairs: PairGradients::new(reach(of, span, tokens.start).start..rows.end, key, value),
            factor: T::ZERO,
        };
        let pairs = pairs(of, span, *head);
        back.through(pairs, |row| reach(of, span, tokens.start + row), &mut part.queries, &mut part.pairs);

        // Through the maximum, which all weights of the row are relative to.
        for (row, &residue) in residues.iter().enumerate() {
            let best = online.best[row];
            axpy(&mut part.queries[row * key..][..key], -residue * scale, pairs.keys.row(best));
            let at = (best - part.pairs.first) * key;
            axpy(&mut part.pairs.keys[at..at + key], -residue * scale, queries.row(rows.start + row));
            part.factor += residue * (T::ONE - gamma);
        }
        part
    }
}
