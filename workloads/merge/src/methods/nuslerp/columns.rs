//! Every column of a tensor as a vector of its own: the elements that have all indices but the first in common.
//!
//! The products of all columns are summed over a fixed number of bands of rows, which only the shape decides; each band by one
//! thread, row after row, and the bands added in order. So the sums are the same on any number of threads.

use super::super::span::{InSpan, moved, parts, row_parts};
use crate::MergeError;
use braid_kernels::{Dots, Gram, KernelError, column_dots, weighted};
use std::ops::Range;

/// What the sums of all bands take at most, unless those of a single one take more.
const BYTES: u64 = 32 << 20;
/// Enough that no thread of a large machine waits long.
const MOST: u64 = 64;

/// Bands of rows over which the products of `pairs` pairs of tensors of `rows` × `width` elements are summed.
pub(in super::super) fn bands(rows: u64, width: u64, pairs: u64) -> Vec<Range<u64>> {
    let of_one = (size_of::<Dots>() as u64).saturating_mul(pairs).saturating_mul(width).max(1);
    let bands = (BYTES / of_one).clamp(1, MOST).min(rows);
    (0..bands).map(|band| rows * band / bands * width..rows * (band + 1) / bands * width).collect()
}

/// Writes for each column the sum with the coefficients that `solve` finds for it.
pub(super) fn merge(inputs: &InSpan<'_, '_>, solve: impl Fn(&Gram) -> [f64; 2]) -> Result<(), MergeError> {
    let tiles = inputs.tiles;
    let rows = tiles.shape().first().copied().unwrap_or(1).max(1);
    let width = tiles.elements() / rows;
    let columns = usize::try_from(width).unwrap_or(usize::MAX);
    let runs = bands(rows, width, 1);

    let [a, b] = [inputs.vectors[0], inputs.vectors[1]];
    let sums = tiles.fold(
        &runs,
        || vec![Dots::default(); columns],
        |sums, piece| {
            let base = inputs.base.map(|base| &piece.inputs[base]);
            column_dots(base, &piece.inputs[a], &piece.inputs[b], (piece.first % width) as usize, sums)
        },
    )?;
    let mut factors = [Vec::with_capacity(columns), Vec::with_capacity(columns)];
    for column in 0..columns {
        let sum: Dots = sums.iter().map(|band| band[column]).sum();
        let gram = Gram::of(2, |i, j| match (i, j) {
            (0, 0) => sum.aa,
            (1, 1) => sum.bb,
            _ => sum.ab,
        });
        solve(&gram).into_iter().zip(&mut factors).for_each(|(factor, factors)| factors.push(factor as f32));
    }
    drop(sums);

    tiles.write(|tile, mut out| {
        row_parts(tile, width.max(1)).try_for_each(|(row, own)| {
            let start = (tile.first + own.start as u64 - row as u64 * width) as usize;
            let range = start..start + own.len();
            let of_row = |input: usize| factors[input].get(range.clone()).ok_or(KernelError::Changed);
            let factors = [of_row(0)?, of_row(1)?];
            let slices = parts(tile.inputs, &own)?;
            let base = inputs.base.map(|base| &slices[base]);
            let at = own.start;
            weighted(base, &[slices[a], slices[b]], &factors, &mut out.part_mut(own)?).map_err(|error| moved(error, at))
        })
    })
}
