//! Weighted sums of tensors.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// `out = (Σ weights[i] · inputs[i]) / divisor`, summed in f32 in the order of the inputs; each
/// product is added without being rounded first, as mergekit's `addcmul` does.
///
/// Stops at the first result that is not a number; what `out` then holds is of no use.
pub fn linear(inputs: &[Slice<'_>], weights: &[f32], divisor: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "linear";
    if inputs.is_empty() || inputs.len() != weights.len() {
        let expected = inputs.len().max(1);
        return Err(KernelError::CountMismatch { operation: NAME, what: "weights", expected, found: weights.len() });
    }
    let mut out = out.floats_mut(NAME)?;
    let mut terms = Vec::with_capacity(inputs.len());
    for (input, weight) in inputs.iter().zip(weights) {
        same_length(NAME, out.len(), input.len())?;
        terms.push((input.floats(NAME)?, *weight));
    }
    dispatch(&terms, divisor, &mut out).map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch / dispatch_avx2(terms: &[(Floats<'_>, f32)], divisor: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> = body;
}

/// The sum starts with the first term, not with a zeroed block: see `task_vectors`.
#[inline(always)]
fn body(terms: &[(Floats<'_>, f32)], divisor: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut value, mut sum): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let (value, sum) = (&mut value[..range.len()], &mut sum[..range.len()]);
        for (index, &(input, weight)) in terms.iter().enumerate() {
            input.decode(&range, value);
            for (sum, value) in sum.iter_mut().zip(&*value) {
                *sum = value.mul_add(weight, if index == 0 { 0.0 } else { *sum });
            }
        }
        if divisor != 1.0 {
            for sum in &mut *sum {
                *sum /= divisor;
            }
        }
        finish(out, &range, sum)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for kind in KINDS {
            for numel in LENGTHS {
                let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
                let terms = [(floats(kind, &a), 0.7), (floats(kind, &b), 0.2)];
                let versions = outputs(
                    kind,
                    numel,
                    [&|out| body(&terms, 0.9, out), &|out| dispatch_avx2(&terms, 0.9, out), &|out| dispatch(&terms, 0.9, out)],
                );
                assert_same(versions, (kind, numel));
            }
        }
    }
}
