//! Heads that lie side by side in the rows of a tensor, seen one at a time; and outputs cut into runs of tokens, to be written in
//! parallel.

use std::ops::Range;

use super::{Documents, Matrix, Real};

/// Some columns of a tensor: one head of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a, T> {
    data: &'a [T],
    stride: usize,
    first: usize,
    width: usize,
}

impl<'a, T> Columns<'a, T> {
    /// `width` columns from `first` on, of rows of `stride` elements.
    pub(super) fn new(data: &'a [T], stride: usize, first: usize, width: usize) -> Self {
        assert!(first + width <= stride, "columns {first}..{} of rows of {stride}", first + width);
        Self { data, stride, first, width }
    }

    /// The columns of head `head` of a tensor that has `heads` of `width`.
    pub(super) fn head(data: &'a [T], heads: usize, width: usize, head: usize) -> Self {
        Self::new(data, heads * width, head * width, width)
    }

    /// One row.
    pub(super) fn row(self, row: usize) -> &'a [T] {
        &self.data[row * self.stride + self.first..][..self.width]
    }

    /// Some rows, as a matrix.
    pub(super) fn rows(self, rows: Range<usize>) -> Matrix<'a, T> {
        let data = if rows.is_empty() { &[] } else { &self.data[rows.start * self.stride + self.first..] };
        Matrix::new(data, rows.len(), self.width, self.stride)
    }
}

/// Adds rows of `width` elements to the columns from `first` on, from row `row` on, of a tensor with rows of `stride` elements.
pub(super) fn add_columns<T: Real>(out: &mut [T], stride: usize, (row, first): (usize, usize), dense: &[T], width: usize) {
    for (out, dense) in out.chunks_mut(stride).skip(row).zip(dense.chunks(width)) {
        add(&mut out[first..first + width], dense);
    }
}

/// `out += x`.
pub(super) fn add<T: Real>(out: &mut [T], x: &[T]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
}

/// `out += scale · x`.
pub(super) fn axpy<T: Real>(out: &mut [T], scale: T, x: &[T]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out += scale * x);
}

/// How many sums or maxima are made side by side and put together at the end, so that a compiler may use vector instructions.
const LANES: usize = 8;

/// `Σ a b`.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::ZERO; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: T = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.into_iter().sum::<T>() + rest
}

/// Replaces scores by e^(score − top), `top` the largest of them and of `least`; returns `top` and the sum.
#[allow(unsafe_code, reason = "the attribute calls a version only after it has detected the features it needs")]
#[multiversion::multiversion(targets("x86_64+avx2+avx512bw+avx512dq+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn exp_below_top<T: Real>(scores: &mut [T], least: T) -> (T, T) {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut tops = [least; LANES];
    let chunks = scores.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(least, |top, &score| larger(top, score));
    for chunk in chunks {
        for lane in 0..LANES {
            tops[lane] = larger(tops[lane], chunk[lane]);
        }
    }
    let top = tops.into_iter().fold(rest, larger);
    scores.iter_mut().for_each(|score| *score -= top);
    T::exp_all(scores);
    let mut sums = [T::ZERO; LANES];
    let chunks = scores.chunks_exact(LANES);
    let rest: T = chunks.remainder().iter().copied().sum();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    (top, sums.into_iter().sum::<T>() + rest)
}

/// Replaces scores by e^score over the sum of all.
pub(super) fn softmax<T: Real>(scores: &mut [T]) {
    let (_, sum) = exp_below_top(scores, T::NEG_INFINITY);
    let part = T::ONE / sum;
    scores.iter_mut().for_each(|x| *x *= part);
}

/// A range cut so that no piece is longer than `most`.
pub(super) fn cut(range: Range<usize>, most: usize) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator + Clone {
    (0..range.len().div_ceil(most)).map(move |i| range.start + i * most..range.end.min(range.start + (i + 1) * most))
}

/// Tokens cut where documents begin, and so that no run is longer than `most`.
pub(super) fn runs(documents: &Documents, tokens: Range<usize>, most: usize) -> Vec<Range<usize>> {
    documents.segments(tokens).flat_map(|segment| cut(segment.tokens, most)).collect()
}

/// Rows of `width` elements, shared out to runs that follow one another.
pub(super) fn share_out<T>(mut rows: &mut [T], width: usize, runs: Vec<Range<usize>>) -> Vec<(Range<usize>, &mut [T])> {
    runs.into_iter()
        .map(|run| {
            let (here, rest) = std::mem::take(&mut rows).split_at_mut(run.len() * width);
            rows = rest;
            (run, here)
        })
        .collect()
}
