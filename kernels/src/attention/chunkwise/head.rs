//! One head of a family over a span: how a rule reads it.

use std::{ops::Range, sync::Arc};

use super::{
    super::{Real, Span},
    Cut, Family, Route, Sheet, Stripe, Tokens, Widths,
    prefetch::prefetch,
};

/// One head: the tokens of its route, chunk by chunk.
pub(crate) struct Head<'a, T> {
    family: &'a dyn Family<T>,
    span: &'a Span<'a, T>,
    head: usize,
    stripes: Vec<Stripe>,
    pub(crate) route: Arc<Route<T>>,
    pub(crate) widths: Widths,
}

impl<'a, T: Real> Head<'a, T> {
    /// All heads of a family.
    pub(crate) fn all(family: &'a dyn Family<T>, span: &'a Span<'a, T>) -> Vec<Self> {
        let routes = family.routes(span).into_iter().enumerate();
        routes
            .map(|(head, route)| Self { family, span, head, stripes: family.stripes(head), route, widths: family.widths() })
            .collect()
    }

    /// Elements of its state.
    pub(crate) fn state_len(&self) -> usize {
        self.widths.key * self.widths.value
    }

    /// Its chunks, in order.
    pub(crate) fn cuts(&self) -> &[Cut] {
        &self.route.cuts
    }

    /// Its chunks that the state before the span may reach, and those that it does not: from the first new document on.
    pub(crate) fn open_and_closed(&self) -> (&[Cut], &[Cut]) {
        let cuts = self.cuts();
        cuts.split_at(cuts.iter().position(|cut| cut.fresh).unwrap_or(cuts.len()))
    }

    fn tokens(&self, range: Range<usize>) -> Tokens<'_, T> {
        Tokens { span: self.span, head: self.head, route: &self.route, range }
    }

    /// Reads some places of its route.
    pub(crate) fn load(&self, range: &Range<usize>, chunk: &mut Sheet<T>) {
        chunk.resize(range.len());
        for stripe in &self.stripes {
            let (part, width) = chunk.part_mut(stripe.part);
            for (row, place) in part.chunks_mut(width).zip(range.clone()) {
                row[..stripe.width].copy_from_slice(raw(self.span, stripe, self.route.row(place)));
            }
            // The next chunk arrives while this one is computed.
            for place in range.end..(range.end + range.len()).min(self.route.len()) {
                prefetch(raw(self.span, stripe, self.route.row(place)));
            }
        }
        self.family.features(&self.tokens(range.clone()), chunk);
    }

    /// Mends the finished rows of a loaded chunk, from the state before it.
    pub(crate) fn mend(&self, range: &Range<usize>, chunk: &Sheet<T>, state: &[T], rows: &mut [T]) {
        self.family.mend(&self.tokens(range.clone()), chunk, state, rows);
    }

    /// Turns gradients of a loaded chunk into those of the inputs.
    pub(crate) fn pull_back(&self, range: &Range<usize>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        self.family.pull_back(&self.tokens(range.clone()), chunk, d);
    }
}

/// What an input holds for a row of the span.
fn raw<'a, T>(span: &Span<'a, T>, stripe: &Stripe, row: usize) -> &'a [T] {
    let input = span.inputs[stripe.tensor];
    let stride = input.len() / span.rows.len();
    &input[row * stride + stripe.first..][..stripe.width]
}

impl<T: Real> Tokens<'_, T> {
    /// What an input holds for each of these tokens, before any feature.
    pub(crate) fn raw(&self, stripe: Stripe) -> impl Iterator<Item = &[T]> {
        self.range.clone().map(move |place| raw(self.span, &stripe, self.route.row(place)))
    }
}
