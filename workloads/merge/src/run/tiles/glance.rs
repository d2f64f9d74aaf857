//! Looking at some elements of a tensor before reading all of them, and the memory that may hold what is found.

use super::{Tile, Tiles};
use crate::{MergeError, run::failure::FirstFailure};
use braid_kernels::{KernelError, Slice};
use rayon::prelude::*;
use std::ops::Range;

/// Runs that one thread reads before it looks for other work: they are short.
const RUNS: usize = 32;

impl Tiles<'_> {
    /// The bytes that results of a pass may take, beside the buffers of the tiles: every thread may be at a tensor of its own.
    pub fn room(&self) -> u64 {
        self.passes.memory / (self.passes.context.pool.current_num_threads().max(1) as u64)
    }

    /// Reads these runs of elements only, each as a tile of its own, and returns the results of `f` in their order.
    ///
    /// This is no pass: the inputs are not hashed, and what is read does not count as progress.
    ///
    /// # Errors
    /// As [`Tiles::measure`]; a run that is not inside the tensor.
    pub fn glance<R: Send>(
        &self,
        runs: &[Range<u64>],
        f: impl Fn(&Tile<'_>) -> Result<R, KernelError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        let failure = FirstFailure::new();
        let one = |(index, run): (usize, &Range<u64>)| failure.guard(index, || self.run_of(index, run, &f));
        // `None` only beside a failure, which is returned first.
        let done: Vec<Option<R>> = runs.par_iter().enumerate().with_min_len(RUNS).map(one).collect();
        failure.into_result()?;
        Ok(done.into_iter().flatten().collect())
    }

    pub(super) fn run_of<R>(
        &self,
        index: usize,
        run: &Range<u64>,
        f: impl FnOnce(&Tile<'_>) -> Result<R, KernelError>,
    ) -> Result<R, MergeError> {
        if self.passes.context.is_cancelled() {
            return Err(MergeError::Cancelled);
        }
        let length = run.end.checked_sub(run.start).filter(|length| run.end <= self.elements && *length <= self.tile as u64);
        let Some(elements) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Err(MergeError::Task(format!("elements {run:?} of tensor {:?} cannot be read", self.target.name)));
        };
        let mut scratch = self.passes.buffers.take();
        let spare = elements * self.spare();
        let (buffers, spare) = scratch.split(self.inputs().map(|dtype| elements * dtype.size()), spare);
        let mut slices = Vec::with_capacity(buffers.len());
        for (input, buffer) in self.inputs.iter().zip(buffers) {
            self.read(input, run.start, buffer, spare, None::<fn(&[u8])>)?;
            slices.push(Slice::new(input.origin.seen(), buffer).map_err(|source| self.kernel(source))?);
        }
        let tile = Tile { inputs: &slices, first: run.start, index, elements };
        f(&tile).map_err(|error| self.explain(&tile, error))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Tensor, context, merge_tensor};
    use braid_kernels::{Dtype, GRANULE};

    #[test]
    fn runs_are_read_where_they_are_and_leave_the_digests_alone() {
        let values: Vec<f32> = (0..3 * GRANULE).map(|n| n as f32).collect();
        let tensor = Tensor::f32("w", &[values.len() as u64], values);
        let end = 3 * GRANULE as u64;
        let (_, digests) = merge_tensor(std::slice::from_ref(&tensor), Dtype::F32, &context(3, 0), |tiles| {
            let runs: Vec<_> = (0..200).map(|n| n * 900..n * 900 + 3).chain([end - 1..end, 7..7]).collect();
            let seen = tiles.glance(&runs, |tile| Ok((tile.index, tile.first, tile.inputs[0].bytes().to_vec())))?;
            for (index, (run, seen)) in runs.iter().zip(&seen).enumerate() {
                let bytes: Vec<u8> = run.clone().flat_map(|n| (n as f32).to_le_bytes()).collect();
                assert_eq!(seen, &(index, run.start, bytes));
            }
            assert_eq!(seen.len(), runs.len());
            let outside = tiles.glance(&[0..1, end - 1..end + 1], |_| Ok(()));
            let outside = outside.unwrap_err().to_string();
            assert!(outside.contains("cannot be read"), "{outside}");
            tiles.copy(0)
        })
        .unwrap();
        assert_eq!(digests.inputs, [blake3::hash(&tensor.bytes)]);
    }
}
