//! Going over long runs of elements piece by piece, one run on one thread: for statistics that are larger than a few numbers,
//! such as one for each column, and for rows that are longer than a tile.

use super::{Tile, Tiles};
use crate::{MergeError, run::failure::FirstFailure};
use braid_kernels::KernelError;
use rayon::prelude::*;
use std::ops::Range;

impl Tiles<'_> {
    /// For each run a state, which `start` makes and `f` carries over the pieces of the run, in order. A piece is a whole
    /// number of [`GRANULE`](braid_kernels::GRANULE)s long, but for the last of a run; [`Tile::index`] is the number of the
    /// run.
    ///
    /// This is no pass: the inputs are not hashed, and what is read does not count as progress.
    ///
    /// # Errors
    /// As [`Tiles::measure`]; a run that is not inside the tensor.
    pub fn fold<S: Send>(
        &self,
        runs: &[Range<u64>],
        start: impl Fn() -> S + Sync,
        f: impl Fn(&mut S, &Tile<'_>) -> Result<(), KernelError> + Sync,
    ) -> Result<Vec<S>, MergeError> {
        let failure = FirstFailure::new();
        let one = |(index, run): (usize, &Range<u64>)| {
            failure.guard(index, || {
                let mut state = start();
                for first in (run.start..run.end).step_by(self.tile) {
                    let piece = first..run.end.min(first + self.tile as u64);
                    self.run_of(index, &piece, |tile| f(&mut state, tile))?;
                }
                Ok(state)
            })
        };
        // `None` only beside a failure, which is returned first.
        let done: Vec<Option<S>> = runs.par_iter().enumerate().map(one).collect();
        failure.into_result()?;
        Ok(done.into_iter().flatten().collect())
    }

    /// Runs of about a tile that together are the whole tensor, none of which ends inside a row. A long row is a run.
    pub fn runs_of_rows(&self) -> Vec<Range<u64>> {
        let row = self.row();
        let step = (braid_kernels::GRANULE as u64 / row).max(1).saturating_mul(row);
        let ends = (0..self.elements.div_ceil(step)).map(|run| run * step);
        ends.map(|first| first..self.elements.min(first + step)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Tensor, context, merge_tensor};
    use braid_kernels::{Dtype, GRANULE};

    #[test]
    fn runs_are_seen_in_order_and_whole() {
        for (row, rows) in [(1u64, 200_000u64), (700, 300), (3 * GRANULE as u64 + 5, 2)] {
            let tensor = Tensor::f32("w", &[rows, row], (0..row * rows).map(|n| (n % 1000) as f32));
            merge_tensor(std::slice::from_ref(&tensor), Dtype::F32, &context(3, 0), |tiles| {
                let runs = tiles.runs_of_rows();
                assert!(runs.iter().all(|run| run.start.is_multiple_of(row) && run.end.is_multiple_of(row)));
                let seen = tiles.fold(&runs, Vec::new, |seen: &mut Vec<u8>, tile| {
                    seen.extend(tile.inputs[0].bytes());
                    Ok(())
                })?;
                assert_eq!(seen.len(), runs.len());
                assert!(seen.concat() == tensor.bytes, "rows of {row}");
                let outside = tiles.fold(&[0..row, 0..row * rows + 1], || (), |_, _| Ok(())).unwrap_err().to_string();
                assert!(outside.contains("cannot be read"), "{outside}");
                tiles.copy(0)
            })
            .unwrap();
        }
    }
}
