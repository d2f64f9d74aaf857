//! Where a head writes its outputs: its columns of the rows of all heads.

use std::ops::Range;

use super::{
    super::{Real, heads::add},
    Route,
};

/// The columns of one head's outputs, row by row.
pub(crate) struct Output<'a, T> {
    rows: Vec<&'a mut [T]>,
    /// The row of the span that the first of these is of.
    start: usize,
    /// Whether a row's last value is what all others are divided by.
    normalised: bool,
    /// Whether several states add to the same columns.
    shared: bool,
}

/// What outputs look like: heads side by side, each so wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputShape {
    pub(crate) heads: usize,
    pub(crate) width: usize,
    pub(crate) normalised: bool,
    pub(crate) shared: bool,
}

impl<'a, T: Real> Output<'a, T> {
    /// The columns of each head. `start` is the row of the span that the first row of `out` is of.
    pub(crate) fn deal(out: &'a mut [T], start: usize, shape: OutputShape) -> Vec<Self> {
        let OutputShape { heads, width, normalised, shared } = shape;
        if shared {
            out.fill(T::ZERO);
        }
        let tokens = out.len() / (heads * width).max(1);
        let mut dealt: Vec<_> =
            (0..heads).map(|_| Self { rows: Vec::with_capacity(tokens), start, normalised, shared }).collect();
        for row in out.chunks_mut((heads * width).max(1)) {
            dealt.iter_mut().zip(row.chunks_mut(width)).for_each(|(head, columns)| head.rows.push(columns));
        }
        dealt
    }

    /// Writes the finished rows of some places of a route.
    pub(crate) fn write(&mut self, route: &Route<T>, range: &Range<usize>, rows: &mut [T]) {
        let value = rows.len() / range.len().max(1);
        for (place, row) in range.clone().zip(rows.chunks_mut(value.max(1))) {
            if self.normalised {
                normalise(row);
            }
            let into = &mut *self.rows[route.row(place) - self.start];
            let row = &row[..into.len()];
            if self.shared {
                add(into, row);
            } else {
                into.copy_from_slice(row);
            }
        }
    }
}

/// Divides a row by its last element.
fn normalise<T: Real>(row: &mut [T]) {
    if let Some((&mut sum, weighted)) = row.split_last_mut() {
        weighted.iter_mut().for_each(|x| *x /= sum);
    }
}
