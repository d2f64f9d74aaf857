//! The important changes of one model, added to another.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::merge::difference;
use crate::select::RowFactors;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// `out = base + δ` where |δ| times the factor of its row is at least `threshold`, and `base` elsewhere. Stops at the first
/// result that is not a number.
pub fn fuse(
    base: &Slice<'_>,
    theta: &Slice<'_>,
    rows: &RowFactors,
    threshold: f32,
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "fuse";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    same_length(NAME, out.len(), theta.len())?;
    dispatch(base.floats(NAME)?, theta.floats(NAME)?, rows, threshold, &mut out)
        .map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch / dispatch_avx2(
        base: Floats<'_>, theta: Floats<'_>, rows: &RowFactors, threshold: f32, out: &mut FloatsMut<'_>
    ) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(base: Floats<'_>, theta: Floats<'_>, rows: &RowFactors, threshold: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut delta, mut scaled): (Block, Block, Block) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, delta, scaled) = (&mut theta0[..n], &mut delta[..n], &mut scaled[..n]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        scaled.copy_from_slice(delta);
        rows.apply(range.start, scaled);
        for ((theta0, delta), scaled) in theta0.iter_mut().zip(&*delta).zip(&*scaled) {
            // NaN is important, so that it is noticed
            *theta0 += if scaled.abs() < threshold { 0.0 } else { *delta };
        }
        finish(out, &range, theta0)?;
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
            let factors: std::sync::Arc<[f32]> = (0..numel + 1).map(|row| 0.5 + row as f32 / 8.0).collect();
            for row in [1, 3, 700] {
                let rows = &RowFactors { factors: factors.clone(), row, first: 2 };
                let versions = outputs(
                    kind,
                    numel,
                    [&|o| body(a, b, rows, 0.3, o), &|o| dispatch_avx2(a, b, rows, 0.3, o), &|o| dispatch(a, b, rows, 0.3, o)],
                );
                assert_same(versions, (kind, numel, row));
            }
        }
    }
}
