//! Tensors that are a sum of their inputs with a coefficient for each, found from the inputs' inner products: one measuring pass
//! for the Gram matrix, a solve in f64 on a few numbers, one writing pass. Or all of it for each row by itself.
//!
//! With a base the vectors are the differences to it, and the sum is added to it.

use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_gpu::{Expert, Inputs};
use braid_kernels::{Combine, Gram, Keep, KernelError, Slice, SliceMut};
use std::ops::Range;

/// The inputs of a tensor that is in their span.
pub(super) struct InSpan<'a, 'b> {
    pub(super) tiles: &'a Tiles<'b>,
    /// The input that the others are compared with.
    pub(super) base: Option<usize>,
    /// The others, in the order of the coefficients.
    pub(super) vectors: Vec<usize>,
}

impl<'a, 'b> InSpan<'a, 'b> {
    /// All inputs of the tensor.
    pub(super) fn new(tiles: &'a Tiles<'b>, base: Option<usize>) -> Self {
        let vectors = (0..tiles.inputs().len()).filter(|input| Some(*input) != base).collect();
        Self { tiles, base, vectors }
    }

    /// The sum with the coefficients that `solve` finds for the tensor as one vector. They are rounded to f32.
    pub(super) fn whole(&self, solve: impl FnOnce(&Gram) -> Result<Vec<f64>, MergeError>) -> Result<(), MergeError> {
        let granules = self.tiles.measure_anywhere(|_, inputs| inputs.gram(self.base, &self.vectors))?;
        let coefficients = narrow(solve(&Gram::sum(self.vectors.len(), granules.iter().flatten()))?);
        self.tiles.write_anywhere(|_, inputs, mut out| self.sum(inputs, &coefficients, &mut out))
    }

    /// The same with every row (the last dimension) as a vector of its own: one pass, or for rows longer than a tile, two.
    pub(super) fn by_row(&self, solve: impl Fn(&Gram) -> Vec<f64> + Sync) -> Result<(), MergeError> {
        let Some(row) = self.tiles.whole_row() else { return self.by_long_row(solve) };
        self.tiles.write_rows(|tile, rows, mut out| {
            for each in rows.iter(row, tile.elements) {
                let grams = self.gram(&parts(rows.inputs, &each.whole)?)?;
                let coefficients = narrow(solve(&Gram::sum(self.vectors.len(), &grams)));
                self.sum_part(tile, each.own, &coefficients, &mut out)?;
            }
            Ok(())
        })
    }

    fn by_long_row(&self, solve: impl Fn(&Gram) -> Vec<f64>) -> Result<(), MergeError> {
        let start = || Gram::zero(self.vectors.len());
        let grams = self.tiles.fold(&self.tiles.runs_of_rows(), start, |sum, piece| {
            self.gram(piece.inputs)?.iter().for_each(|part| sum.add(part));
            Ok(())
        })?;
        let coefficients: Vec<Vec<f32>> = grams.iter().map(|gram| narrow(solve(gram))).collect();
        self.tiles.write(|tile, mut out| {
            row_parts(tile, self.tiles.row()).try_for_each(|(row, own)| {
                let coefficients = coefficients.get(row).ok_or(KernelError::Changed)?;
                self.sum_part(tile, own, coefficients, &mut out)
            })
        })
    }

    fn gram(&self, inputs: &[Slice<'_>]) -> Result<Vec<Gram>, KernelError> {
        Inputs::here(self.tiles.arithmetic(), inputs).gram(self.base, &self.vectors)
    }

    fn sum(&self, inputs: &Inputs<'_>, coefficients: &[f32], out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        let terms = self.vectors.iter().copied().zip(coefficients.iter().copied());
        let Some(base) = self.base else { return inputs.linear(&terms.collect::<Vec<_>>(), 1.0, out) };
        let expert = |(input, weight)| Expert { input, keep: Keep::All, scale: 1.0, weight };
        let combine = Combine { elect_sign: false, normalize: false, lambda: 1.0 };
        inputs.task_vectors(base, &terms.map(expert).collect::<Vec<_>>(), &combine, out)
    }

    /// As [`InSpan::sum`] for the elements `own` of a tile.
    fn sum_part(
        &self,
        tile: &Tile<'_>,
        own: Range<usize>,
        coefficients: &[f32],
        out: &mut SliceMut<'_>,
    ) -> Result<(), KernelError> {
        let start = own.start;
        let part = parts(tile.inputs, &own)?;
        let inputs = Inputs::here(self.tiles.arithmetic(), &part);
        self.sum(&inputs, coefficients, &mut out.part_mut(own)?).map_err(|error| moved(error, start))
    }
}

/// The same elements of every slice.
pub(super) fn parts<'a>(inputs: &[Slice<'a>], range: &Range<usize>) -> Result<Vec<Slice<'a>>, KernelError> {
    inputs.iter().map(|input| input.part(range.clone())).collect()
}

/// The rows of `row` elements that reach into a tile, each with the part of it that is there.
pub(super) fn row_parts(tile: &Tile<'_>, row: u64) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
    let (first, end) = (tile.first, tile.first + tile.elements as u64);
    (first / row..end.div_ceil(row)).map(move |index| {
        let own = (index * row).max(first) - first..((index + 1) * row).min(end) - first;
        (index as usize, own.start as usize..own.end as usize)
    })
}

/// What a kernel says of a part that starts at element `start`, said of the whole.
pub(super) fn moved(error: KernelError, start: usize) -> KernelError {
    match error {
        KernelError::NotANumber { element } => KernelError::NotANumber { element: element + start },
        other => other,
    }
}

fn narrow(coefficients: Vec<f64>) -> Vec<f32> {
    coefficients.into_iter().map(|c| c as f32).collect()
}
