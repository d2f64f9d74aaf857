//! The queries of a span: one softmax over the tokens of their own region and the summaries of the regions before it.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        Gradients, Real, Span,
        heads::{Columns, add_columns, runs, share_out},
        softmax::online::{Back, Online, PairGradients, Pairs, QUERIES},
    },
    Combiner, Document, documents,
};

/// One head: where its tokens and its summaries are found.
struct Head<'a, T> {
    of: &'a Combiner,
    span: &'a Span<'a, T>,
    head: usize,
    queries: Columns<'a, T>,
    tokens: Pairs<'a, T>,
    regions: Pairs<'a, T>,
}

/// The gradients of one head over the own tokens of a document.
struct Part<T> {
    head: usize,
    first_row: usize,
    queries: Vec<T>,
    tokens: PairGradients<T>,
    regions: PairGradients<T>,
}

impl<'a, T: Real> Head<'a, T> {
    fn new(of: &'a Combiner, span: &'a Span<'a, T>, shared: &'a [T], head: usize) -> Self {
        let Combiner { heads, key_width, value_width, .. } = *of;
        let input = |i: usize, width| Columns::head(span.inputs[i], heads, width, head);
        let summary = |first, width| Columns::new(shared, of.summary_width(), first + head * width, width);
        Self {
            of,
            span,
            head,
            queries: input(0, key_width),
            tokens: Pairs { keys: input(1, key_width), values: input(2, value_width) },
            regions: Pairs { keys: summary(0, key_width), values: summary(heads * key_width, value_width) },
        }
    }

    fn rows(&self, tokens: &Range<usize>) -> Range<usize> {
        self.span.row(tokens.start)..self.span.row(tokens.end)
    }

    /// The rows of the tokens of its own region that each of a run of tokens sees.
    fn near(&self, document: &Document, run: &Range<usize>) -> impl Fn(usize) -> Range<usize> + use<T> {
        let (start, base, region, first) = (document.tokens.start, self.span.rows.start, self.of.region, run.start);
        move |row| {
            let token = first + row;
            token - (token - start) % region - base..token + 1 - base
        }
    }

    /// The summaries that each of a run of tokens sees.
    fn far(&self, document: &Document, run: &Range<usize>) -> impl Fn(usize) -> Range<usize> + use<T> {
        let (from, region, passed) = (document.first_region, self.of.region, run.start - document.tokens.start);
        move |row| from..from + (passed + row) / region
    }

    fn absorbed(&self, document: &Document, run: &Range<usize>) -> Online<T> {
        let mut online = Online::new(run.len(), self.of.value_width);
        let (queries, scale) = (self.queries.rows(self.rows(run)), T::of(self.of.scale));
        online.absorb(queries, scale, self.tokens, self.near(document, run));
        online.absorb(queries, scale, self.regions, self.far(document, run));
        online
    }

    /// The gradients that come from `own` tokens of one document.
    fn backward(&self, document: &Document, own: &Range<usize>, d_out: &[T]) -> Part<T> {
        let Combiner { heads, key_width, value_width, scale, .. } = *self.of;
        let (near, far) = (self.near(document, own), self.far(document, own));
        let mut tokens = PairGradients::new(near(0).start..self.rows(own).end, key_width, value_width);
        let mut regions = PairGradients::new(far(own.len() - 1), key_width, value_width);
        let mut queries = vec![T::ZERO; own.len() * key_width];
        let d_out = Columns::head(d_out, heads, value_width, self.head);
        let all = runs(self.span.documents, own.clone(), QUERIES);
        for (run, d_queries) in share_out(&mut queries, key_width, all) {
            let out = run.start - self.span.own.start..run.end - self.span.own.start;
            let normaliser = self.absorbed(document, &run).normaliser(d_out, out.start, value_width);
            let back = Back {
                queries: self.queries.rows(self.rows(&run)),
                d_out: d_out.rows(out),
                normaliser: &normaliser,
                scale: T::of(scale),
            };
            back.through(self.tokens, self.near(document, &run), d_queries, &mut tokens);
            back.through(self.regions, self.far(document, &run), d_queries, &mut regions);
        }
        Part { head: self.head, first_row: self.rows(own).start, queries, tokens, regions }
    }
}

/// The documents that a span has tokens of.
fn own_documents<T>(of: &Combiner, span: &Span<'_, T>) -> Vec<(Document, Range<usize>)> {
    let own = |document: Document| {
        let own = document.tokens.start.max(span.own.start)..document.tokens.end.min(span.own.end);
        (document, own)
    };
    documents(span.documents, of.region).map(own).filter(|(_, own)| !own.is_empty()).collect()
}

pub(super) fn forward<T: Real>(of: &Combiner, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
    let (width, stride) = (of.value_width, of.heads * of.value_width);
    let documents = own_documents(of, span);
    let all = share_out(out, stride, runs(span.documents, span.own.clone(), QUERIES));
    all.into_par_iter().for_each(|(run, out)| {
        let (document, _) = &documents[documents.partition_point(|(document, _)| document.tokens.end <= run.start)];
        for head in 0..of.heads {
            Head::new(of, span, shared, head).absorbed(document, &run).write(&mut out[head * width..], stride, width);
        }
    });
}

pub(super) fn backward<T: Real>(
    of: &Combiner,
    span: &Span<'_, T>,
    shared: &[T],
    d_out: &[T],
    d_shared: &mut [T],
    gradients: &mut Gradients<T>,
) {
    let Combiner { heads, key_width, value_width, .. } = *of;
    let documents = own_documents(of, span);
    let pieces: Vec<_> = documents.iter().flat_map(|piece| (0..heads).map(move |head| (head, piece))).collect();
    let piece = |(head, (document, own)): (usize, &(Document, Range<usize>))| {
        Head::new(of, span, shared, head).backward(document, own, d_out)
    };
    let parts: Vec<_> = pieces.into_par_iter().map(piece).collect();
    for Part { head, first_row, queries, tokens, regions } in parts {
        let (key, value) = (head * key_width, head * value_width);
        add_columns(&mut gradients.inputs[0], heads * key_width, (first_row, key), &queries, key_width);
        add_columns(&mut gradients.inputs[1], heads * key_width, (tokens.first, key), &tokens.keys, key_width);
        add_columns(&mut gradients.inputs[2], heads * value_width, (tokens.first, value), &tokens.values, value_width);
        add_columns(d_shared, of.summary_width(), (regions.first, key), &regions.keys, key_width);
        let value = heads * key_width + value;
        add_columns(d_shared, of.summary_width(), (regions.first, value), &regions.values, value_width);
    }
}
