//! Passes in which a tile sees whole rows: those that reach into it, with what lies before and after it.
//!
//! Tiles stay what they are, runs of a power of two of elements, as the digests need it. What a row has outside of the tile is
//! read beside it, at both of its ends: less than twice a row, and rows of more than [`GRANULE`] elements are not read this
//! way. For them [`Tiles::fold`] goes over a row piece by piece.

use super::{Reach, Tile, Tiles};
use crate::MergeError;
use braid_kernels::{GRANULE, KernelError, Slice, SliceMut};
use std::ops::Range;

/// The whole rows that reach into a tile.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The rows of every input, in its order.
    pub inputs: &'a [Slice<'a>],
    /// How many of their elements lie before the tile.
    pub before: usize,
}

/// One row of those that reach into a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its elements, counted as those of [`Rows::inputs`].
    pub whole: Range<usize>,
    /// Those of its elements that are in the tile, counted from the tile's first.
    pub own: Range<usize>,
}

impl Rows<'_> {
    /// The rows, of `row` elements each, for a tile of `elements`.
    pub fn iter(&self, row: usize, elements: usize) -> impl Iterator<Item = Row> + use<> {
        let (before, length) = (self.before, self.inputs.first().map_or(0, Slice::len));
        (0..length).step_by(row.max(1)).map(move |start| {
            let whole = start..length.min(start + row);
            let own = whole.start.saturating_sub(before)..(whole.end.saturating_sub(before)).min(elements);
            Row { whole, own }
        })
    }
}

impl Tiles<'_> {
    /// The elements of a row: the last dimension. A vector is one row, as is a single number.
    pub fn row(&self) -> u64 {
        self.target.shape.last().copied().unwrap_or(1).max(1)
    }

    /// The elements of a row, if a tile may see whole ones.
    pub fn whole_row(&self) -> Option<usize> {
        usize::try_from(self.row()).ok().filter(|row| *row <= GRANULE)
    }

    /// As [`Tiles::measure`], for tensors that have a [`Tiles::whole_row`].
    ///
    /// # Errors
    /// As [`Tiles::measure`]; rows that are too long.
    pub fn measure_rows<R: Send>(
        &self,
        f: impl Fn(&Tile<'_>, &Rows<'_>) -> Result<R, KernelError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        self.short_rows()?;
        let kernel = &self.passes.phases.kernel;
        self.pass(Reach::Rows, |tile, rows, _| kernel.of(|| f(tile, rows)).map_err(|error| self.explain(tile, error)))
    }

    /// As [`Tiles::write`], for tensors that have a [`Tiles::whole_row`].
    ///
    /// # Errors
    /// As [`Tiles::write`]; rows that are too long.
    pub fn write_rows(
        &self,
        f: impl Fn(&Tile<'_>, &Rows<'_>, SliceMut<'_>) -> Result<(), KernelError> + Sync,
    ) -> Result<(), MergeError> {
        self.short_rows()?;
        self.write_reaching(Reach::Rows, f)
    }

    /// How many elements are read for a tile, and how many of them lie before it.
    pub(super) fn reached(&self, reach: Reach, first: u64, elements: usize) -> (usize, usize) {
        let end = first + elements as u64;
        let (start, stop) = match reach {
            Reach::Tile => (first, end),
            Reach::Rows => (first - first % self.row(), end.next_multiple_of(self.row()).min(self.elements)),
        };
        ((stop - start) as usize, (first - start) as usize)
    }

    fn short_rows(&self) -> Result<(), MergeError> {
        let long = || MergeError::Task(format!("rows of tensor {:?} are longer than a tile", self.target.name));
        self.whole_row().map(drop).ok_or_else(long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tensor, context, merge_tensor};
    use braid_kernels::{Dtype, convert};

    #[test]
    fn every_tile_sees_the_rows_that_reach_into_it() {
        for (row, rows) in [(1u64, 70_000u64), (3, 30_000), (1000, 140), (GRANULE as u64 - 1, 3), (GRANULE as u64, 3)] {
            let numel = row * rows;
            let tensor = Tensor::f32("w", &[rows, row], (0..numel).map(|n| n as f32));
            let (bytes, digests) = merge_tensor(std::slice::from_ref(&tensor), Dtype::F32, &context(3, 0), |tiles| {
                let check = |tile: &Tile<'_>, seen: &Rows<'_>| {
                    let mut next = 0;
                    for found in seen.iter(row as usize, tile.elements) {
                        assert_eq!(found.whole.len() as u64, row);
                        assert_eq!(found.own.start, next, "rows follow each other in the tile");
                        next = found.own.end;
                        let start = tile.first - seen.before as u64 + found.whole.start as u64;
                        assert!(start.is_multiple_of(row) && !found.own.is_empty());
                        let of_row = seen.inputs[0].part(found.whole)?;
                        assert_eq!(of_row.bytes()[..4], (start as f32).to_le_bytes());
                    }
                    assert_eq!(next, tile.elements);
                    Ok(())
                };
                tiles.measure_rows(check)?;
                tiles.write_rows(|tile, seen, mut out| {
                    check(tile, seen)?;
                    convert(&tile.inputs[0], &mut out)
                })
            })
            .unwrap();
            assert!(bytes == tensor.bytes, "rows of {row}");
            assert_eq!((digests.output, digests.inputs[0]), (blake3::hash(&tensor.bytes), blake3::hash(&tensor.bytes)));
        }
    }

    #[test]
    fn long_rows_are_refused() {
        let tensor = Tensor::noise("w", Dtype::BF16, GRANULE as u64 + 1, 1);
        let error = merge_tensor(&[tensor], Dtype::BF16, &context(1, 0), |tiles| tiles.write_rows(|_, _, _| Ok(()))).unwrap_err();
        assert!(error.to_string().contains("rows of tensor \"w\" are longer than a tile"), "{error}");
    }
}
