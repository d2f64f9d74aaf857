//! The L1 norm of a task vector before and after sparsification, from which the rescaling that keeps it is taken.

use super::{GRANULE, LANES, Lanes, granule_blocks};
use crate::block::{BLOCK, Block, dispatched};
use crate::keep::{Keep, Keeper};
use crate::mask::MaskWords;
use crate::merge::difference;
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// The L1 norm of a task vector, or of a granule of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct L1 {
    /// Σ |δ| over all elements.
    pub total: f64,
    /// Σ |δ| over the elements kept.
    pub kept: f64,
}

impl L1 {
    /// The factor that gives the kept elements the norm of all; 1 if either norm is below 1e-7, as in mergekit.
    pub fn rescale(&self) -> f32 {
        const LEAST: f64 = 1e-7;
        if self.total < LEAST || self.kept < LEAST { 1.0 } else { (self.total / self.kept) as f32 }
    }
}

impl std::iter::Sum for L1 {
    /// Adds in order, from zero.
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self { total: sum.total + part.total, kept: sum.kept + part.kept })
    }
}

/// The norms of each granule of a tile of the task vector `theta - base`, in order. The tile starts at a multiple of
/// [`GRANULE`].
pub fn l1(base: &Slice<'_>, theta: &Slice<'_>, keep: Keep<'_>) -> Result<Vec<L1>, KernelError> {
    const NAME: &str = "l1";
    same_length(NAME, base.len(), theta.len())?;
    let mut sums = vec![L1::default(); base.len().div_ceil(GRANULE)];
    dispatch(base.floats(NAME)?, theta.floats(NAME)?, Keeper::new(keep), &mut sums);
    Ok(sums)
}

dispatched! {
    fn dispatch / dispatch_avx2(base: Floats<'_>, theta: Floats<'_>, keeper: Keeper<'_>, out: &mut [L1]) = body;
}

#[inline(always)]
fn body(base: Floats<'_>, theta: Floats<'_>, mut keeper: Keeper<'_>, out: &mut [L1]) {
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut words = MaskWords::new();
    for (granule, out) in out.iter_mut().enumerate() {
        let [mut total, mut kept] = [Lanes::ZERO; 2];
        for range in granule_blocks(granule, base.len()) {
            let (theta0, delta) = (&mut theta0[..range.len()], &mut delta[..range.len()]);
            base.decode(&range, theta0);
            theta.decode(&range, delta);
            difference(delta, theta0);
            add_magnitudes(&mut total, delta);
            keeper.apply(delta, &mut words);
            add_magnitudes(&mut kept, delta);
        }
        *out = L1 { total: total.fold(), kept: kept.fold() };
    }
}

#[inline(always)]
fn add_magnitudes(sum: &mut Lanes, values: &[f32]) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = sum.0;
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(chunk[lane].abs());
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        lanes[lane] += f64::from(value.abs());
    }
    sum.0 = lanes;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Mask, MaskKey};
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        let keep = Keep::Bernoulli { mask: Mask::new(MaskKey::new(1, 2, "w"), 0.4), first: 1 << 20 };
        for kind in KINDS {
            for numel in LENGTHS {
                let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
                type Version = fn(Floats<'_>, Floats<'_>, Keeper<'_>, &mut [L1]);
                let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
                let sums = versions.map(|version| {
                    let mut sums = vec![L1::default(); numel.div_ceil(GRANULE)];
                    version(floats(kind, &a), floats(kind, &b), Keeper::new(keep), &mut sums);
                    sums.iter().map(|sum| [sum.total, sum.kept].map(f64::to_bits)).collect::<Vec<_>>()
                });
                assert_same(sums, (kind, numel));
            }
        }
    }

    #[test]
    fn tiny_norms_are_not_rescaled() {
        assert_eq!(L1 { total: 3.0, kept: 1.5 }.rescale(), 2.0);
        assert_eq!(L1 { total: 9e-8, kept: 5e-8 }.rescale(), 1.0);
        assert_eq!(L1 { total: 1.0, kept: 9e-8 }.rescale(), 1.0);
    }
}
