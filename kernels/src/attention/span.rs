//! A run of tokens that one caller holds: what every mixer reads. Not a batch: documents are packed one after the other, and their
//! starts say where nothing may leak.

use std::ops::Range;

/// Where the documents of a packed sequence begin. Known to every rank as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// First tokens, ascending; the first is 0.
    starts: Vec<usize>,
    tokens: usize,
}

/// Tokens of one document inside a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The tokens, in places of the packed sequence.
    pub tokens: Range<usize>,
    /// Whether its first token is the first of its document: state from before does not reach it.
    pub fresh: bool,
    /// Whether its last token is the last of its document: state from here reaches nobody.
    pub last: bool,
}

impl Documents {
    /// Documents of these lengths, packed in this order. Empty ones leave no trace.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let (mut starts, mut tokens) = (vec![], 0);
        for length in lengths.into_iter().filter(|&length| length > 0) {
            starts.push(tokens);
            tokens += length;
        }
        Self { starts, tokens }
    }

    /// One document.
    pub fn one(tokens: usize) -> Self {
        Self::of_lengths([tokens])
    }

    /// The length of the packed sequence.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The first token of the document that `token` belongs to.
    pub fn start_of(&self, token: usize) -> usize {
        self.starts[self.starts.partition_point(|&start| start <= token) - 1]
    }

    /// The token after the last of the document that `token` belongs to.
    pub fn end_of(&self, token: usize) -> usize {
        self.starts.get(self.starts.partition_point(|&start| start <= token)).copied().unwrap_or(self.tokens)
    }

    /// A range cut where documents begin, in order.
    pub fn segments(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Segment> + '_ {
        let first = self.starts.partition_point(|&start| start <= range.start).saturating_sub(1);
        let last = self.starts.partition_point(|&start| start < range.end);
        (if range.is_empty() { 0..0 } else { first..last }).map(move |document| {
            let end = self.starts.get(document + 1).copied().unwrap_or(self.tokens);
            let tokens = self.starts[document].max(range.start)..end.min(range.end);
            Segment { fresh: tokens.start == self.starts[document], last: tokens.end == end, tokens }
        })
    }
}

/// The tokens that a rank holds of a packed sequence, with what they carry.
///
/// Rows are tokens: tensor `i` is `rows.len()` × its width, row-major, heads side by side. A family that looks at neighbours
/// ([`Halo`]) finds their rows around its own; where the sequence ends there are fewer.
#[derive(Debug, Clone)]
pub struct Span<'a, T> {
    /// Where the documents of the whole sequence begin.
    pub documents: &'a Documents,
    /// The tokens that `inputs` holds, neighbours included, in places of the whole sequence.
    pub rows: Range<usize>,
    /// The tokens that are this span's own: those it has outputs for. Inside `rows`; may be empty.
    pub own: Range<usize>,
    /// The tensors that the family names, in its order.
    pub inputs: Vec<&'a [T]>,
    /// The parameters that the family names, the same on all ranks.
    pub params: Vec<&'a [T]>,
}

/// How many tokens of its neighbours a family reads beside the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Halo {
    /// Before the span.
    pub left: usize,
    /// After it.
    pub right: usize,
}

impl<'a, T> Span<'a, T> {
    /// How many tokens are its own.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether it has no tokens of its own.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Its own tokens, cut where documents begin.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment> + 'a {
        self.documents.segments(self.own.clone())
    }

    /// The row of tensors in which a token of the sequence lies.
    pub fn row(&self, token: usize) -> usize {
        token - self.rows.start
    }
}

/// The gradients of a span's inputs and parameters, to be added to: of all rows, the neighbours' too.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// As [`Span::inputs`].
    pub inputs: Vec<Vec<T>>,
    /// As [`Span::params`].
    pub params: Vec<Vec<T>>,
}

impl<T: Clone + Default> Gradients<T> {
    /// Zeros in the shapes of a span.
    pub fn zeros(span: &Span<'_, T>) -> Self {
        let zeros = |tensors: &[&[T]]| tensors.iter().map(|tensor| vec![T::default(); tensor.len()]).collect();
        Self { inputs: zeros(&span.inputs), params: zeros(&span.params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_where_documents_begin() {
        let documents = Documents::of_lengths([3, 0, 4, 2]);
        assert_eq!(documents.tokens(), 9);
        let segments: Vec<_> = documents.segments(1..8).map(|segment| (segment.tokens, segment.fresh, segment.last)).collect();
        assert_eq!(segments, [(1..3, false, true), (3..7, true, true), (7..8, true, false)]);
        assert_eq!(documents.segments(4..4).count(), 0);
        assert_eq!((documents.start_of(6), documents.end_of(6)), (3, 7));
    }
}
