//! A matrix with a product of two thin ones added to it: what a LoRA adapter makes of a tensor of its base.

use crate::block::{BLOCK, Block, dispatched, finish};
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// `up · down`, of `up` with `rank` columns and `down` with `rank` rows, both row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LowRank {
    up: Vec<f32>,
    down: Vec<f32>,
    rank: usize,
    cols: usize,
}

impl LowRank {
    /// The product of these factors.
    ///
    /// # Errors
    /// [`KernelError::CountMismatch`] where they are no whole number of rows of `up` and of columns of `down`.
    pub fn new(up: Vec<f32>, down: Vec<f32>, rank: usize) -> Result<Self, KernelError> {
        for factor in [&up, &down] {
            if rank == 0 || !factor.len().is_multiple_of(rank) {
                let (expected, found) = (rank.max(1), factor.len());
                return Err(KernelError::CountMismatch { operation: "low rank", what: "elements of a factor", expected, found });
            }
        }
        let cols = down.len() / rank;
        Ok(Self { up, down, rank, cols })
    }

    /// The number of elements of the product.
    pub fn elements(&self) -> u64 {
        (self.up.len() / self.rank.max(1)) as u64 * self.cols as u64
    }

    /// `out = base + up · down`, for the elements of the product from `first` on.
    ///
    /// The terms of the product are summed in f32 in the order of the rank and then added to the base: an element does not depend
    /// on where the tile that it is in begins.
    ///
    /// # Errors
    /// Elements that the product does not have; [`KernelError::NotANumber`].
    pub fn add_to(&self, base: &Slice<'_>, first: u64, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        const NAME: &str = "low rank";
        let mut out = out.floats_mut(NAME)?;
        same_length(NAME, out.len(), base.len())?;
        let base = base.floats(NAME)?;
        let end = usize::try_from(first).ok().and_then(|first| first.checked_add(base.len()));
        let length = usize::try_from(self.elements()).unwrap_or(usize::MAX);
        match end.filter(|&end| end <= length) {
            Some(end) if end > end - base.len() => self.dispatch(base, end - base.len(), &mut out),
            Some(_) => Ok(()),
            None => Err(KernelError::OutOfRange { first: first as usize, end: first as usize, length }),
        }
    }

    fn dispatch(&self, base: Floats<'_>, first: usize, out: &mut FloatsMut<'_>) -> Result<(), KernelError> {
        dispatch(self, base, first, out).map_err(|element| KernelError::NotANumber { element })
    }
}

dispatched! {
    fn dispatch / dispatch_avx2(product: &LowRank, base: Floats<'_>, first: usize, out: &mut FloatsMut<'_>) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(product: &LowRank, base: Floats<'_>, first: usize, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut value, mut sum): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut done = 0;
    while done < base.len() {
        let (row, col) = ((first + done) / product.cols, (first + done) % product.cols);
        let length = BLOCK.min(product.cols - col).min(base.len() - done);
        let range = done..done + length;
        let (value, sum) = (&mut value[..length], &mut sum[..length]);
        sum.fill(0.0);
        let weights = &product.up[row * product.rank..][..product.rank];
        for (weight, down) in weights.iter().zip(product.down.chunks_exact(product.cols)) {
            for (sum, down) in sum.iter_mut().zip(&down[col..col + length]) {
                *sum = down.mul_add(*weight, *sum);
            }
        }
        base.decode(&range, value);
        for (sum, value) in sum.iter_mut().zip(&*value) {
            *sum += value;
        }
        finish(out, &range, sum)?;
        done += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::testing::{KINDS, assert_same, floats, outputs, tensor};

    fn product(rows: usize, rank: usize, cols: usize) -> LowRank {
        let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        LowRank::new((0..rows * rank).map(number).collect(), (0..rank * cols).map(number).collect(), rank).unwrap()
    }

    #[test]
    fn it_is_the_sum_of_the_oracle_however_the_tensor_is_cut() {
        for (rows, rank, cols) in [(3, 1, 5), (7, 4, 300), (1, 9, 513), (40, 3, 1)] {
            let product = product(rows, rank, cols);
            let base: Vec<u8> = (0..rows * cols).flat_map(|i| (i as f32 / 7.0).to_le_bytes()).collect();
            let mut whole = vec![0; base.len()];
            let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
            product.add_to(&slice(&base), 0, &mut SliceMut::new(Dtype::F32, &mut whole).unwrap()).unwrap();
            for (i, found) in whole.as_chunks::<4>().0.iter().enumerate() {
                let (row, col) = (i / cols, i % cols);
                let sum: f64 =
                    (0..rank).map(|k| f64::from(product.up[row * rank + k]) * f64::from(product.down[k * cols + col])).sum();
                let expected = f64::from(i as f32 / 7.0) + sum;
                assert!((f64::from(f32::from_le_bytes(*found)) - expected).abs() < 1e-4, "{i}");
            }
            let cut = rows * cols / 3;
            let mut parts = vec![0; base.len()];
            let (head, tail) = parts.split_at_mut(cut * 4);
            product.add_to(&slice(&base[..cut * 4]), 0, &mut SliceMut::new(Dtype::F32, head).unwrap()).unwrap();
            product.add_to(&slice(&base[cut * 4..]), cut as u64, &mut SliceMut::new(Dtype::F32, tail).unwrap()).unwrap();
            assert_eq!(parts, whole);
        }
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        let product = product(5, 6, 333);
        for kind in KINDS {
            let base = tensor(kind, 1200, 3);
            let base = floats(kind, &base);
            let versions = outputs(
                kind,
                1200,
                [&|out| body(&product, base, 77, out), &|out| dispatch_avx2(&product, base, 77, out), &|out| {
                    dispatch(&product, base, 77, out)
                }],
            );
            assert_same(versions, kind);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(LowRank::new(vec![0.0; 4], vec![0.0; 5], 2).is_err());
        assert!(LowRank::new(vec![], vec![], 0).is_err());
        let product = LowRank::new(vec![1.0; 4], vec![f32::NAN; 6], 2).unwrap();
        let (base, mut out) = ([0; 16], [0; 16]);
        let slice = Slice::new(Dtype::F32, &base).unwrap();
        let mut add = |first| product.add_to(&slice, first, &mut SliceMut::new(Dtype::F32, &mut out).unwrap());
        assert!(matches!(add(3), Err(KernelError::OutOfRange { .. })));
        assert!(matches!(add(u64::MAX), Err(KernelError::OutOfRange { .. })));
        assert_eq!(add(2), Err(KernelError::NotANumber { element: 0 }));
    }
}
