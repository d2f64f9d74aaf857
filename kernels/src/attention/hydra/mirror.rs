//! A span seen from the other end: the last token first.

use std::ops::Range;

use super::super::{Documents, Real, Span};

/// A mirrored copy of some inputs of a span.
#[derive(Debug)]
pub(super) struct Mirror<T> {
    documents: Documents,
    rows: Range<usize>,
    own: Range<usize>,
    inputs: Vec<Vec<T>>,
}

/// Rows of `width` elements in the opposite order.
pub(super) fn mirrored<T: Real>(rows: &[T], width: usize) -> Vec<T> {
    rows.rchunks(width.max(1)).flatten().copied().collect()
}

impl<T: Real> Mirror<T> {
    /// The mirror image of some inputs.
    pub(super) fn new(span: &Span<'_, T>, inputs: &[usize]) -> Self {
        let tokens = span.documents.tokens();
        let lengths: Vec<_> = span.documents.segments(0..tokens).map(|segment| segment.tokens.len()).collect();
        let turn = |range: &Range<usize>| tokens - range.end..tokens - range.start;
        let width = |input: &[T]| if span.rows.is_empty() { 0 } else { input.len() / span.rows.len() };
        Self {
            documents: Documents::of_lengths(lengths.into_iter().rev()),
            rows: turn(&span.rows),
            own: turn(&span.own),
            inputs: inputs.iter().map(|&input| mirrored(span.inputs[input], width(span.inputs[input]))).collect(),
        }
    }

    /// It, as a span.
    pub(super) fn span(&self) -> Span<'_, T> {
        Span {
            documents: &self.documents,
            rows: self.rows.clone(),
            own: self.own.clone(),
            inputs: self.inputs.iter().map(Vec::as_slice).collect(),
            params: vec![],
        }
    }
}
