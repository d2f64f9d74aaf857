//! A step towards another tensor that is long where the two are close, and short where they differ.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// Differences below this count as this.
const LEAST: f32 = 1e-6;

/// `out = w · other + (1 − w) · base`, with w = t / max(|base − other|, 1e-6), at most 1. Stops at the first result that is not
/// a number.
pub fn nearswap(base: &Slice<'_>, other: &Slice<'_>, t: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "nearswap";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    same_length(NAME, out.len(), other.len())?;
    dispatch(base.floats(NAME)?, other.floats(NAME)?, t, &mut out).map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch / dispatch_avx2(base: Floats<'_>, other: Floats<'_>, t: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(base: Floats<'_>, other: Floats<'_>, t: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut a, mut b): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let (a, b) = (&mut a[..range.len()], &mut b[..range.len()]);
        base.decode(&range, a);
        other.decode(&range, b);
        for (a, b) in a.iter_mut().zip(&*b) {
            // comparisons, not `max` and `clamp`: NaN passes through
            let distance = (*a - *b).abs();
            let weight = t / if distance < LEAST { LEAST } else { distance };
            let weight = if weight > 1.0 { 1.0 } else { weight };
            *a = weight * *b + (1.0 - weight) * *a;
        }
        finish(out, &range, a)?;
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
            let [a, b] = [2, 4].map(|seed| tensor(kind, numel, seed));
            let (a, b) = (floats(kind, &a), floats(kind, &b));
            let versions =
                outputs(kind, numel, [&|o| body(a, b, 0.1, o), &|o| dispatch_avx2(a, b, 0.1, o), &|o| dispatch(a, b, 0.1, o)]);
            assert_same(versions, (kind, numel));
        }
    }
}
