//! Backward over one stretch of chunks after the other, from the last: so that what it computes on the way is as large as a stretch and
//! not as the sequence, and stays in the caches.

use std::{ops::Range, sync::Arc};

use super::{
    super::{Real, Span, heads::dot},
    Chunkwise, Cut, Family, Head, Output, Part, Pass, Route, Rule, Sheet,
    output::OutputShape,
};

/// Chunks of a stretch. The states between stretches are kept, those inside are computed twice. Tests want many in few tokens.
const CHUNKS: usize = if cfg!(test) { 2 } else { 16 };

/// The gradients of all heads over a stretch, on their way to the inputs.
pub(crate) struct Stretch<'a, T> {
    pub(crate) routes: &'a [Arc<Route<T>>],
    /// Of each head, the places of its route.
    pub(crate) places: Vec<Range<usize>>,
    /// Of each head, the gradients of what it copied.
    pub(crate) sheets: Vec<&'a Sheet<T>>,
}

impl<T: Real> Stretch<'_, T> {
    /// The rows of heads that read all tokens.
    pub(crate) fn rows(&self) -> Range<usize> {
        let first = self.routes.iter().zip(&self.places).find(|(_, places)| !places.is_empty());
        first.map_or(0..0, |(route, places)| route.row(places.start)..route.row(places.start) + places.len())
    }

    /// From the first row that any head reads to the last.
    pub(crate) fn reach(&self) -> Range<usize> {
        let read = self.routes.iter().zip(&self.places).filter(|(_, places)| !places.is_empty());
        let ends = read.map(|(route, places)| (route.row(places.start), route.row(places.end - 1) + 1));
        let (first, end) = ends.fold((usize::MAX, 0), |(first, end), (from, to)| (first.min(from), end.max(to)));
        first.min(end)..end
    }

    /// A part of the gradients of one head, and its elements a token.
    pub(crate) fn part(&self, head: usize, part: Part) -> (&[T], usize) {
        self.sheets[head].part(part)
    }
}

/// What one head works with from stretch to stretch.
pub(super) struct Desk<'a, 's, T, K> {
    pub(super) head: &'a Head<'s, T>,
    /// The place of the head among all.
    index: usize,
    /// The states before its stretches.
    starts: Vec<Vec<T>>,
    kept: Option<K>,
    d_rows: Vec<T>,
    pub(super) sheet: Sheet<T>,
}

impl<'a, 's, T: Real, K> Desk<'a, 's, T, K> {
    /// Takes the state before the span over all stretches but the last.
    pub(super) fn new<R: Rule<T>>(head: &'a Head<'s, T>, index: usize, state: &[T]) -> Self {
        let mut starts: Vec<Vec<T>> = vec![state.to_vec()];
        for cuts in head.cuts().chunks(CHUNKS).rev().skip(1).collect::<Vec<_>>().into_iter().rev() {
            let mut state = starts[starts.len() - 1].clone();
            R::advance(head, cuts, &mut state);
            starts.push(state);
        }
        Self { head, index, starts, kept: None, d_rows: vec![], sheet: Sheet::new(head.widths, 0) }
    }

    /// How many stretches it has; at least one.
    pub(super) fn stretches(&self) -> usize {
        self.starts.len()
    }

    /// The places of a stretch, and nothing where it has none.
    pub(super) fn places(&self, stretch: usize) -> Range<usize> {
        match self.cuts(stretch) {
            [first, .., last] => first.range.start..last.range.end,
            [only] => only.range.clone(),
            [] => 0..0,
        }
    }

    fn cuts(&self, stretch: usize) -> &'a [Cut] {
        self.head.cuts().chunks(CHUNKS).nth(stretch).unwrap_or_default()
    }

    /// What needs no gradient of a state.
    pub(super) fn prepare<F: Chunkwise<T>>(&mut self, family: &F, span: &Span<'_, T>, d_out: &[T], stretch: usize)
    where
        F::Rule: Rule<T, Kept = K>,
    {
        let (cuts, places) = (self.cuts(stretch), self.places(stretch));
        self.sheet.clear(places.len());
        if let Some(state) = self.starts.get(stretch) {
            d_rows::<T, F>(family, span, self.head, (self.index, cuts, places), (state, d_out), &mut self.d_rows);
            self.kept = Some(F::Rule::backward_intra(self.head, cuts, &self.d_rows, &mut self.sheet));
        }
    }

    /// The rest: `d_state` is the gradient of the state after the stretch, and then that of the state before it.
    pub(super) fn finish<R: Rule<T, Kept = K>>(&mut self, stretch: usize, d_state: &mut [T]) {
        if let Some(kept) = self.kept.take() {
            let cuts = self.cuts(stretch);
            R::backward_sweep(self.head, cuts, &kept, &self.starts[stretch], &self.d_rows, d_state, &mut self.sheet);
        }
    }
}

/// The gradient of a head's rows from that of the outputs. A division needs the rows themselves, which are computed again.
pub(super) fn d_rows<T: Real, F: Chunkwise<T>>(
    family: &F,
    span: &Span<'_, T>,
    head: &Head<'_, T>,
    (index, cuts, places): (usize, &[Cut], Range<usize>),
    (state, d_out): (&[T], &[T]),
    d_rows: &mut Vec<T>,
) {
    let (value, width) = (head.widths.value, output_value(family));
    let stride = family.output_heads() * width;
    let first = index % family.output_heads() * width;
    d_rows.resize(places.len() * value, T::ZERO);
    for (place, row) in places.clone().zip(d_rows.chunks_mut(value)) {
        let token = head.route.row(place) - span.row(span.own.start);
        row[..width].copy_from_slice(&d_out[token * stride + first..][..width]);
    }
    if family.normalised() && !places.is_empty() {
        let (mut rows, mut state) = (vec![T::ZERO; places.len() * value], state.to_vec());
        let raw = OutputShape { heads: 1, width: value, normalised: false, shared: false };
        for mut out in Output::deal(&mut rows, head.route.row(places.start), raw) {
            F::Rule::forward(head, cuts, Pass::Both, &mut Default::default(), &mut state, &mut out);
        }
        for (d, row) in d_rows.chunks_mut(value).zip(rows.chunks(value)) {
            let (part, along) = (T::ONE / row[width], dot(&d[..width], &row[..width]));
            d[..width].iter_mut().for_each(|d| *d *= part);
            d[width] = -along * part * part;
        }
    }
}

/// Values of a head's output: a sum of weights is none of them.
pub(super) fn output_value<T: Real>(family: &impl Family<T>) -> usize {
    family.widths().value - usize::from(family.normalised())
}
