//! Inner products of two tensors: the statistic of every method that looks at angles.

use super::{GRANULE, LANES, Lanes, granule_blocks};
use crate::block::{BLOCK, Block, dispatched};
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// The inner products of two tensors, or of a granule of each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Dots {
    /// ⟨a, a⟩.
    pub aa: f64,
    /// ⟨b, b⟩.
    pub bb: f64,
    /// ⟨a, b⟩.
    pub ab: f64,
}

impl std::iter::Sum for Dots {
    /// Adds in order, from zero.
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self { aa: sum.aa + part.aa, bb: sum.bb + part.bb, ab: sum.ab + part.ab })
    }
}

/// The inner products of each granule of a tile, in order. The tile starts at a multiple of [`GRANULE`].
pub fn dots(a: &Slice<'_>, b: &Slice<'_>) -> Result<Vec<Dots>, KernelError> {
    const NAME: &str = "dots";
    same_length(NAME, a.len(), b.len())?;
    let mut sums = vec![Dots::default(); a.len().div_ceil(GRANULE)];
    dispatch(a.floats(NAME)?, b.floats(NAME)?, &mut sums);
    Ok(sums)
}

dispatched! {
    fn dispatch / dispatch_avx2(a: Floats<'_>, b: Floats<'_>, out: &mut [Dots]) = body;
}

#[inline(always)]
fn body(a: Floats<'_>, b: Floats<'_>, out: &mut [Dots]) {
    let (mut left, mut right): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (granule, out) in out.iter_mut().enumerate() {
        let [mut aa, mut bb, mut ab] = [Lanes::ZERO; 3];
        for range in granule_blocks(granule, a.len()) {
            let (left, right) = (&mut left[..range.len()], &mut right[..range.len()]);
            a.decode(&range, left);
            b.decode(&range, right);
            let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
            for (left, right) in left.iter().zip(right) {
                for lane in 0..LANES {
                    let (a, b) = (f64::from(left[lane]), f64::from(right[lane]));
                    aa.0[lane] += a * a;
                    bb.0[lane] += b * b;
                    ab.0[lane] += a * b;
                }
            }
            for (lane, (a, b)) in left_rest.iter().zip(right_rest).enumerate() {
                let (a, b) = (f64::from(*a), f64::from(*b));
                aa.0[lane] += a * a;
                bb.0[lane] += b * b;
                ab.0[lane] += a * b;
            }
        }
        *out = Dots { aa: aa.fold(), bb: bb.fold(), ab: ab.fold() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for kind in KINDS {
            for numel in LENGTHS {
                let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
                let versions: [fn(Floats<'_>, Floats<'_>, &mut [Dots]); 3] = [body, dispatch_avx2, dispatch];
                let sums = versions.map(|version| {
                    let mut sums = vec![Dots::default(); numel.div_ceil(GRANULE)];
                    version(floats(kind, &a), floats(kind, &b), &mut sums);
                    // Bits, since infinities among the values make NaN of some sums.
                    sums.iter().map(|sum| [sum.aa, sum.bb, sum.ab].map(f64::to_bits)).collect::<Vec<_>>()
                });
                assert_same(sums, (kind, numel));
            }
        }
    }
}
