//! Reinforced Agent Merging: what one expert alone has changed is added whole, what several have changed as their mean.
//!
//! Expert i has changed an element where |δᵢ| > ε. Of an element that c experts have changed, θ = θ₀ + Σ δᵢ/c over these; with
//! c = 1 the element is unique to the expert, and δᵢ is multiplied by a factor of the expert, which is 1 for `ram` and comes of
//! [`Overlap::factor`] for `ramplus_tl`.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::merge::difference;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// How many of the elements that an expert has changed others have changed too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Changed by this expert alone.
    pub unique: u64,
    /// Changed by this one and others.
    pub shared: u64,
}

impl Overlap {
    /// Adds the elements of further tiles.
    pub fn add(&mut self, other: Self) {
        self.unique += other.unique;
        self.shared += other.shared;
    }

    /// 1 + r · min(ρ, α), with ρ the number of shared elements for each unique one. Without a unique element nothing is
    /// multiplied by it.
    pub fn factor(&self, r: f64, alpha: f64) -> f32 {
        let ratio = match (self.shared, self.unique) {
            (0, _) => 0.0,
            (_, 0) => alpha,
            (shared, unique) => (shared as f64 / unique as f64).min(alpha),
        };
        (1.0 + r * ratio) as f32
    }
}

/// `out = base + Σ` of the changes, for one tile; `factors[i]` is for what is unique to expert i. Stops at the first result
/// that is not a number.
pub fn ram(
    base: &Slice<'_>,
    experts: &[Slice<'_>],
    factors: &[f32],
    epsilon: f32,
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "ram";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    if experts.len() != factors.len() || experts.is_empty() {
        let expected = experts.len().max(1);
        return Err(KernelError::CountMismatch { operation: NAME, what: "factors", expected, found: factors.len() });
    }
    let mut changes = Changes::new(NAME, base, experts, epsilon)?;
    dispatch(&mut changes, factors, &mut out).map_err(|element| KernelError::NotANumber { element })
}

/// The overlap of each expert with the others, in one tile.
pub fn overlaps(base: &Slice<'_>, experts: &[Slice<'_>], epsilon: f32) -> Result<Vec<Overlap>, KernelError> {
    let mut changes = Changes::new("overlaps", base, experts, epsilon)?;
    let mut overlaps = vec![Overlap::default(); experts.len()];
    dispatch_count(&mut changes, &mut overlaps);
    Ok(overlaps)
}

/// The task vectors of a block, and what they have changed.
struct Changes<'a> {
    base: Floats<'a>,
    experts: Vec<Floats<'a>>,
    epsilon: f32,
    deltas: Vec<Block>,
    /// How many experts have changed each element of the block.
    counts: [u32; BLOCK],
}

impl<'a> Changes<'a> {
    fn new(operation: &'static str, base: &Slice<'a>, experts: &[Slice<'a>], epsilon: f32) -> Result<Self, KernelError> {
        let floats = |expert: &Slice<'a>| {
            same_length(operation, base.len(), expert.len())?;
            expert.floats(operation)
        };
        let experts = experts.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
        let deltas = vec![[0.0; BLOCK]; experts.len()];
        Ok(Self { base: base.floats(operation)?, experts, epsilon, deltas, counts: [0; BLOCK] })
    }

    /// Reads a block; `theta0` gets the base. NaN is a change, so that it is noticed.
    #[inline(always)]
    fn read(&mut self, range: &std::ops::Range<usize>, theta0: &mut [f32]) {
        let n = range.len();
        self.base.decode(range, theta0);
        let epsilon = self.epsilon;
        for (index, (expert, delta)) in self.experts.iter().zip(&mut self.deltas).enumerate() {
            expert.decode(range, &mut delta[..n]);
            difference(&mut delta[..n], theta0);
            for (count, delta) in self.counts[..n].iter_mut().zip(&delta[..n]) {
                *count = if index == 0 { 0 } else { *count } + u32::from(changed(*delta, epsilon));
            }
        }
    }
}

#[inline(always)]
fn changed(delta: f32, epsilon: f32) -> bool {
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must pass")]
    let changed = !(delta.abs() <= epsilon);
    changed
}

dispatched! {
    fn dispatch / dispatch_avx2(changes: &mut Changes<'_>, factors: &[f32], out: &mut FloatsMut<'_>) -> Result<(), usize> = body;
}
dispatched! {
    fn dispatch_count / count_avx2(changes: &mut Changes<'_>, overlaps: &mut [Overlap]) = count_body;
}

#[inline(always)]
fn body(changes: &mut Changes<'_>, factors: &[f32], out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut sum): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, sum) = (&mut theta0[..n], &mut sum[..n]);
        changes.read(&range, theta0);
        let epsilon = changes.epsilon;
        for (index, (delta, factor)) in changes.deltas.iter().zip(factors).enumerate() {
            for ((sum, delta), count) in sum.iter_mut().zip(&delta[..n]).zip(&changes.counts[..n]) {
                let whole = if *count == 1 { *delta * *factor } else { *delta / *count as f32 };
                *sum = if index == 0 { 0.0 } else { *sum } + if changed(*delta, epsilon) { whole } else { 0.0 };
            }
        }
        for (sum, theta0) in sum.iter_mut().zip(&*theta0) {
            *sum += *theta0;
        }
        finish(out, &range, sum)?;
    }
    Ok(())
}

#[inline(always)]
fn count_body(changes: &mut Changes<'_>, overlaps: &mut [Overlap]) {
    let mut theta0: Block = [0.0; BLOCK];
    for range in blocks(changes.base.len()) {
        let n = range.len();
        changes.read(&range, &mut theta0[..n]);
        for (delta, overlap) in changes.deltas.iter().zip(&mut *overlaps) {
            let (mut unique, mut all) = (0u32, 0u32);
            for (delta, count) in delta[..n].iter().zip(&changes.counts[..n]) {
                let changed = u32::from(changed(*delta, changes.epsilon));
                all += changed;
                unique += changed & u32::from(*count == 1);
            }
            overlap.add(Overlap { unique: u64::from(unique), shared: u64::from(all - unique) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b] = [0, 2, 4].map(|seed| tensor(kind, numel, seed));
            let changes = || Changes {
                base: floats(kind, &base),
                experts: vec![floats(kind, &a), floats(kind, &b)],
                epsilon: 0.3,
                deltas: vec![[0.0; BLOCK]; 2],
                counts: [0; BLOCK],
            };
            let factors = [1.02, 1.0];
            let versions = outputs(
                kind,
                numel,
                [&|out| body(&mut changes(), &factors, out), &|out| dispatch_avx2(&mut changes(), &factors, out), &|out| {
                    dispatch(&mut changes(), &factors, out)
                }],
            );
            assert_same(versions, (kind, numel));
            let counts: [fn(&mut Changes<'_>, &mut [Overlap]); 3] = [count_body, count_avx2, dispatch_count];
            let counts = counts.map(|count| {
                let mut overlaps = [Overlap::default(); 2];
                count(&mut changes(), &mut overlaps);
                overlaps
            });
            assert_same(counts, (kind, numel));
        }
    }

    #[test]
    fn factors_at_the_corners() {
        for (unique, shared, expected) in [(10, 1, 1.01), (10, 5, 1.02), (0, 5, 1.02), (0, 0, 1.0), (5, 0, 1.0)] {
            assert_eq!(Overlap { unique, shared }.factor(0.1, 0.2), expected, "{unique} unique, {shared} shared");
        }
    }
}
