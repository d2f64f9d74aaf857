//! Sums of tensors with a factor for each element.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::merge::difference;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// `out = Σ factors[i] ⊙ inputs[i]`, or with a base θ₀, `θ₀ + Σ factors[i] ⊙ (inputs[i] − θ₀)`, in f32 in the order of the
/// inputs. Stops at the first result that is not a number.
pub fn weighted(
    base: Option<&Slice<'_>>,
    inputs: &[Slice<'_>],
    factors: &[&[f32]],
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "weighted";
    let mut out = out.floats_mut(NAME)?;
    if inputs.is_empty() || inputs.len() != factors.len() {
        let expected = inputs.len().max(1);
        return Err(KernelError::CountMismatch { operation: NAME, what: "factors", expected, found: factors.len() });
    }
    let base = base.map(|base| same_length(NAME, out.len(), base.len()).and_then(|()| base.floats(NAME))).transpose()?;
    let mut terms = Vec::with_capacity(inputs.len());
    for (input, factors) in inputs.iter().zip(factors) {
        same_length(NAME, out.len(), input.len())?;
        same_length(NAME, out.len(), factors.len())?;
        terms.push((input.floats(NAME)?, *factors));
    }
    dispatch(base, &terms, &mut out).map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch / dispatch_avx2(
        base: Option<Floats<'_>>, terms: &[(Floats<'_>, &[f32])], out: &mut FloatsMut<'_>
    ) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(base: Option<Floats<'_>>, terms: &[(Floats<'_>, &[f32])], out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut value, mut sum): (Block, Block, Block) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, value, sum) = (&mut theta0[..n], &mut value[..n], &mut sum[..n]);
        if let Some(base) = base {
            base.decode(&range, theta0);
        }
        sum.copy_from_slice(theta0);
        for (input, factors) in terms {
            input.decode(&range, value);
            difference(value, theta0);
            for ((sum, value), factor) in sum.iter_mut().zip(&*value).zip(&factors[range.clone()]) {
                *sum += *value * *factor;
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
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b] = [0, 2, 4].map(|seed| tensor(kind, numel, seed));
            let factors: Vec<f32> = (0..numel).map(|j| (j % 7) as f32 - 3.0).collect();
            let terms = [(floats(kind, &a), &factors[..]), (floats(kind, &b), &factors[..])];
            for base in [None, Some(floats(kind, &base))] {
                let versions = outputs(
                    kind,
                    numel,
                    [&|o| body(base, &terms, o), &|o| dispatch_avx2(base, &terms, o), &|o| dispatch(base, &terms, o)],
                );
                assert_same(versions, (kind, numel, base.is_some()));
            }
        }
    }
}
