//! Which tokens a head reads, and where its state begins anew; cut into chunks.

use std::ops::Range;

use super::super::{Real, Span};

/// Tokens of a chunk: enough for products to pay, few enough for scores to be cheap (the choice of all published kernels).
pub(crate) const CHUNK: usize = 64;

/// Tokens that are computed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Places in the route. Empty where a document begins of which the route has no token: the state ends all the same.
    pub(crate) range: Range<usize>,
    /// Whether no state comes in.
    pub(crate) fresh: bool,
}

impl Cut {
    /// Its places counted from the first of some cuts.
    pub(crate) fn within(&self, cuts: &[Self]) -> Range<usize> {
        let start = cuts.first().map_or(0, |first| first.range.start);
        self.range.start - start..self.range.end - start
    }
}

/// The tokens of a span that a head reads, in order.
#[derive(Debug, Clone)]
pub(crate) struct Route<T> {
    rows: Rows,
    /// How much each token's output counts; empty where all count fully.
    pub(crate) weights: Vec<T>,
    pub(crate) cuts: Vec<Cut>,
}

#[derive(Debug, Clone)]
enum Rows {
    All(Range<usize>),
    Some(Vec<usize>),
}

impl<T: Real> Route<T> {
    /// All the span's own tokens.
    pub(crate) fn all(span: &Span<'_, T>) -> Self {
        let start = span.own.start;
        let pieces = span.segments().map(|segment| (segment.tokens.start - start..segment.tokens.end - start, segment.fresh));
        let rows = Rows::All(span.row(span.own.start)..span.row(span.own.end));
        Self { rows, weights: vec![], cuts: cut(pieces) }
    }

    /// Some of the span's own tokens (ascending), each with its weight.
    pub(crate) fn some(span: &Span<'_, T>, tokens: Vec<usize>, weights: Vec<T>) -> Self {
        let pieces = span.segments().map(|segment| {
            let place = |token| tokens.partition_point(|&other| other < token);
            (place(segment.tokens.start)..place(segment.tokens.end), segment.fresh)
        });
        let cuts = cut(pieces);
        Self { rows: Rows::Some(tokens.into_iter().map(|token| span.row(token)).collect()), weights, cuts }
    }

    /// How many tokens it has.
    pub(crate) fn len(&self) -> usize {
        match &self.rows {
            Rows::All(rows) => rows.len(),
            Rows::Some(rows) => rows.len(),
        }
    }

    /// The row of the span's tensors in which a place of the route lies.
    pub(crate) fn row(&self, place: usize) -> usize {
        match &self.rows {
            Rows::All(rows) => rows.start + place,
            Rows::Some(rows) => rows[place],
        }
    }

    /// The places of the route whose rows lie in a range of rows.
    pub(crate) fn places(&self, range: &Range<usize>) -> Range<usize> {
        match &self.rows {
            Rows::All(rows) => {
                let place = |row: usize| row.clamp(rows.start, rows.end) - rows.start;
                place(range.start)..place(range.end)
            }
            Rows::Some(rows) => {
                let place = |row| rows.partition_point(|&other| other < row);
                place(range.start)..place(range.end)
            }
        }
    }
}

fn cut(pieces: impl Iterator<Item = (Range<usize>, bool)>) -> Vec<Cut> {
    let mut cuts = vec![];
    for (range, fresh) in pieces {
        if range.is_empty() && fresh {
            cuts.push(Cut { range, fresh });
            continue;
        }
        for from in range.clone().step_by(CHUNK) {
            cuts.push(Cut { range: from..range.end.min(from + CHUNK), fresh: fresh && from == range.start });
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::{super::super::Documents, *};

    #[test]
    fn chunks_begin_with_documents_and_routes_know_of_those_they_miss() {
        let documents = Documents::of_lengths([100, 3, 70]);
        let span = Span::<f32> { documents: &documents, rows: 0..173, own: 10..173, inputs: vec![], params: vec![] };
        let cuts = |route: &Route<f32>| route.cuts.iter().map(|cut| (cut.range.clone(), cut.fresh)).collect::<Vec<_>>();
        let all = Route::all(&span);
        assert_eq!(cuts(&all), [(0..64, false), (64..90, false), (90..93, true), (93..157, true), (157..163, false)]);
        assert_eq!((all.len(), all.row(0), all.places(&(0..20))), (163, 10, 0..10));
        let some = Route::some(&span, vec![11, 12, 105], vec![1.0; 3]);
        assert_eq!(cuts(&some), [(0..2, false), (2..2, true), (2..3, true)]);
        assert_eq!((some.len(), some.row(2), some.places(&(12..106))), (3, 105, 1..3));
    }
}
