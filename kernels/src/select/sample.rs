//! Which elements of a tensor stand for all: short runs at places that are spread evenly but in no step with its rows.

use std::ops::Range;

use super::pass::{Part, PartKind};
use crate::KernelError;

/// Elements of one run: half a kilobyte of bf16, about what one read of a disk's cache costs anyway.
pub(super) const PIECE: usize = 256;
const FEWEST: u64 = 64;
const MOST: u64 = 1024;

/// The ranges of elements that a pass needs, for a driver that can read less than whole tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pieces {
    numel: u64,
    /// One piece starts in each stretch of this many elements, a multiple of the length of a piece.
    stretch: u64,
}

impl Pieces {
    /// About one element in sixteen, within limits.
    fn of(numel: u64, limit: usize) -> Self {
        let affordable = (limit / (PIECE * 8)) as u64;
        let count = (numel / (16 * PIECE as u64)).clamp(FEWEST, MOST).min(affordable.max(1));
        let stretch = (numel / count / PIECE as u64).max(1) * PIECE as u64;
        Self { numel, stretch }
    }

    /// The pieces in order, each inside the tensor; some may be empty.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let pieces = *self;
        (0..self.numel.div_ceil(self.stretch)).map(move |index| pieces.piece(index))
    }

    fn piece(&self, index: u64) -> Range<u64> {
        // A step that were the same everywhere would visit the same columns of every row.
        let slots = self.stretch / PIECE as u64;
        let slot = (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % slots;
        let first = self.numel.min(index * self.stretch + slot * PIECE as u64);
        first..self.numel.min(first + PIECE as u64)
    }

    /// Those parts of pieces that lie in `tile`.
    pub(super) fn within(&self, tile: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let pieces = *self;
        (tile.start / self.stretch..tile.end.min(self.numel).div_ceil(self.stretch)).filter_map(move |index| {
            let piece = pieces.piece(index);
            let range = piece.start.max(tile.start)..piece.end.min(tile.end);
            (range.start < range.end).then_some(range)
        })
    }
}

/// How many elements a search in a tensor of `numel` looks at before its first pass, where memory is not short.
pub fn sampled(numel: u64) -> u64 {
    if numel <= super::SMALL {
        return 0;
    }
    Pieces::of(numel, usize::MAX).iter().map(|piece| piece.end - piece.start).sum()
}

/// The pass that draws a sample.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) pieces: Pieces,
}

impl Sample {
    pub(super) fn new(numel: u64, limit: usize) -> Self {
        Self { pieces: Pieces::of(numel, limit) }
    }

    /// The magnitudes of the sample, in the order of the parts.
    pub(super) fn collect(&self, parts: Vec<Part>) -> Result<Vec<u32>, KernelError> {
        let expected: u64 = self.pieces.iter().map(|piece| piece.end - piece.start).sum();
        let mut keys = Vec::new();
        for part in parts {
            let PartKind::Sample(part) = part.0 else { return Err(KernelError::ForeignPart) };
            keys.extend(part);
        }
        if keys.len() as u64 == expected {
            Ok(keys)
        } else {
            Err(KernelError::IncompletePass { expected, found: keys.len() as u64 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_inside_apart_and_out_of_step() {
        for numel in [1u64, 255, 256, 257, 65_537, 1 << 20, (1 << 28) + 12_345] {
            let pieces = Pieces::of(numel, 1 << 24);
            let all: Vec<_> = pieces.iter().collect();
            assert!(all.iter().all(|piece| piece.end <= numel), "{numel}");
            assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start), "{numel}");
            let cut: Vec<_> = [0..numel / 3, numel / 3..numel].into_iter().flat_map(|tile| pieces.within(tile)).collect();
            let count = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
            assert_eq!(count(&cut), count(&all), "{numel}");
            assert!(count(&all) > 0);
        }
        let columns: std::collections::BTreeSet<u64> =
            Pieces::of(1 << 28, 1 << 24).iter().map(|p| p.start % 4096 / 256).collect();
        assert_eq!(columns.len(), 16, "every part of a row of 4096 is visited");
    }
}
