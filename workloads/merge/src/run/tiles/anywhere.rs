//! Passes whose arithmetic takes inputs by number, so that a GPU may read them from their files by itself: no byte of them comes into this
//! process' memory then, and the GPU hashes them too.
//!
//! ```text
//!   a tile ──▶ all inputs in files that a GPU reads, a lane is free? ──no──▶ read here, as in any other pass
//!                │ yes                                                        ▲
//!                ▼                                                            │ whatever went wrong: here it is tried
//!              there: read, hashed on the first pass, computed ───────────────┘ again, and said what it was
//! ```
//!
//! What comes of a tile is the same either way, so nobody sees which it was.

use super::{Extent, Reach, Rows, Tile, Tiles};
use crate::{
    MergeError,
    run::{buffers::Scratch, digest::Tree},
};
use blake3::hazmat::ChainingValue;
use braid_gpu::{HASHED, Inputs, Stored};
use braid_kernels::{GRANULE, KernelError, SliceMut};
use std::sync::{MutexGuard, atomic::Ordering};

/// The largest tile that a GPU reads: beyond it disks win nothing.
const READ_TILE: usize = 1 << 20;

/// What came of a tile on a GPU.
pub(super) struct There<'a, R> {
    /// What the pass makes of it.
    pub(super) result: R,
    /// The values of its inputs for their digests, where they were asked for.
    pub(super) leaves: Vec<ChainingValue>,
    /// Its output, if it has one.
    pub(super) scratch: MutexGuard<'a, Scratch>,
}

impl Tiles<'_> {
    /// As [`Tiles::measure`], with the inputs by number.
    ///
    /// # Errors
    /// As [`Tiles::measure`].
    pub fn measure_anywhere<R: Send>(
        &self,
        f: impl Fn(&Extent, &Inputs<'_>) -> Result<R, KernelError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        let here = |tile: &Tile<'_>| f(&tile.extent(), &Inputs::here(self.arithmetic(), tile.inputs));
        self.each_tile(|index, hash| {
            if let Some(there) = self.there(index, hash, |extent, inputs, _| f(extent, inputs)) {
                return Ok((there.result, there.leaves));
            }
            self.measured(index, hash, &here)
        })
    }

    /// As [`Tiles::write`], with the inputs by number.
    ///
    /// # Errors
    /// As [`Tiles::write`].
    pub fn write_anywhere(
        &self,
        f: impl Fn(&Extent, &Inputs<'_>, SliceMut<'_>) -> Result<(), KernelError> + Sync,
    ) -> Result<(), MergeError> {
        let here = |tile: &Tile<'_>, _: &Rows<'_>, out: SliceMut<'_>| {
            f(&tile.extent(), &Inputs::here(self.arithmetic(), tile.inputs), out)
        };
        let dtype = self.target.dtype;
        let on_gpu = |extent: &Extent, inputs: &Inputs<'_>, output: &mut [u8]| f(extent, inputs, SliceMut::new(dtype, output)?);
        let leaves = self.each_tile(|index, hash| {
            let Some(mut there) = self.there(index, hash, on_gpu) else { return self.made(index, hash, Reach::Tile, &here) };
            let extent = self.extent(index);
            let leaf = self.emit(&extent, there.scratch.output(extent.elements * dtype.size()))?;
            Ok((leaf, there.leaves))
        })?;
        self.written(self.tree(dtype).root(|index| &leaves[index]))
    }

    /// What a GPU makes of a tile that it reads by itself; none where it does not.
    fn there<R>(
        &self,
        index: usize,
        hash: bool,
        f: impl FnOnce(&Extent, &Inputs<'_>, &mut [u8]) -> Result<R, KernelError>,
    ) -> Option<There<'_, R>> {
        // the digest of a tensor of one tile is not that of a part, which is all that a GPU computes
        if self.elements <= self.tile as u64 {
            return None;
        }
        let (extent, phases) = (self.extent(index), &self.passes.phases);
        let stored = self.in_files(&extent)?;
        let mut scratch = self.passes.buffers.take();
        let output = scratch.output(extent.elements * self.target.dtype.size());
        let work = |inputs: &Inputs<'_>| {
            let leaves = if hash { self.leaves(&extent, inputs)? } else { Vec::new() };
            Ok((f(&extent, inputs, output)?, leaves))
        };
        let (result, leaves) = phases.kernel.of(|| self.arithmetic().stored(&stored, work))?;
        let read = stored.iter().map(|input| input.elements * input.dtype.size()).sum::<usize>();
        self.passes.read.fetch_add(read as u64, Ordering::Relaxed);
        Some(There { result, leaves, scratch })
    }

    /// The elements of a tile in their files, if a GPU reads all of these by itself.
    fn in_files(&self, extent: &Extent) -> Option<Vec<Stored<'_>>> {
        let arithmetic = self.arithmetic();
        if !arithmetic.reads_files() || self.target.scaling.is_some() {
            return None;
        }
        self.inputs.iter().map(|input| input.origin.in_file(arithmetic, extent.first, extent.elements)).collect()
    }

    fn leaves(&self, extent: &Extent, inputs: &Inputs<'_>) -> Result<Vec<ChainingValue>, KernelError> {
        let leaf = |(number, dtype): (usize, braid_kernels::Dtype)| {
            let size = dtype.size() as u64;
            let values = inputs.chaining_values(number, extent.first * size)?.ok_or(KernelError::Changed)?;
            let tree = Tree { bytes: extent.elements as u64 * size, tile: HASHED };
            if values.len() as u64 != tree.bytes.div_ceil(HASHED) {
                return Err(KernelError::Changed);
            }
            Ok(tree.value(|index| &values[index]))
        };
        self.inputs().enumerate().map(leaf).collect()
    }

    /// The elements of a full tile where a GPU reads them: as many as disks are fast with, but at least two tiles a tensor. Inputs and
    /// output take `bytes` an element together.
    pub(super) fn tile_of_gpu(&self, bytes: u64, threads: usize) -> Option<usize> {
        self.in_files(&self.extent(0))?;
        let share = self.passes.memory / threads.max(1) as u64;
        let mut tile = self.tile;
        while tile < READ_TILE && bytes.saturating_mul(2 * tile as u64) <= share {
            tile *= 2;
        }
        while tile > GRANULE && tile as u64 >= self.elements {
            tile /= 2;
        }
        Some(tile)
    }
}
