//! Select, calculate, erase (SCE): the elements in which the experts differ most decide how much each expert weighs.
//!
//! Of the task vectors δᵢ only the selected elements stay, those of the largest [`spread`]. The weight of an expert is the
//! share of its [`energies`] in those of all. In each element those δᵢ are left out that have not the sign of Σ δᵢ (+ for 0);
//! what is left is averaged by weight: θ = θ₀ + Σ wᵢδᵢ / Σ wᵢ, where small sums of weights count as the [`Floor`] says.

use crate::bits;
use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::merge::difference;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::statistics::{GRANULE, Lanes, granule_blocks};
use crate::{KernelError, Slice, SliceMut};

/// What sums of weights that are nearly nothing count as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    below: f32,
    counts_as: f32,
}

impl Floor {
    /// Sums below 1e-6 count as 1e-6, as in mergekit.
    pub const MERGEKIT: Self = Self { below: 1e-6, counts_as: 1e-6 };
    /// Only a sum of zero is special, and counts as 1.
    pub const ZERO: Self = Self { below: f32::MIN_POSITIVE, counts_as: 1.0 };
}

/// The variance of each element over the experts, from their task vectors.
#[inline(always)]
pub(crate) fn spread(deltas: &[Block], out: &mut [f32]) {
    /// Elements whose sums stay in registers from the first expert to the last.
    const TOGETHER: usize = 8;
    let count = deltas.len() as f64;
    for (place, out) in out.chunks_mut(TOGETHER).enumerate() {
        // Of the last elements as many as of all others: what a block holds after them is not looked at. Plain loops over lanes:
        // `map` and `zip` of arrays are calls that not every build inlines.
        let (mut mean, mut squares) = ([0.0f64; TOGETHER], [0.0f64; TOGETHER]);
        for delta in deltas {
            let delta = &delta.as_chunks::<TOGETHER>().0[place];
            for lane in 0..TOGETHER {
                mean[lane] += f64::from(delta[lane]);
            }
        }
        for mean in &mut mean {
            *mean /= count;
        }
        for delta in deltas {
            let delta = &delta.as_chunks::<TOGETHER>().0[place];
            for lane in 0..TOGETHER {
                let off = f64::from(delta[lane]) - mean[lane];
                squares[lane] += off * off;
            }
        }
        let mut spreads = [0.0f32; TOGETHER];
        for lane in 0..TOGETHER {
            spreads[lane] = (squares[lane] / count) as f32;
        }
        out.copy_from_slice(&spreads[..out.len()]);
    }
}

/// Which elements of a tile are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected<'a> {
    /// All.
    All,
    /// Those whose bit is set, the lowest bit of a word first; of their [`spread`](crate::Source::Spread),
    /// [`chosen`](crate::chosen) makes such bits.
    Chosen(&'a [u64]),
}

/// Σ δ² over the selected elements of each granule of a tile, for each expert. The tile starts at a multiple of [`GRANULE`].
pub fn energies(base: &Slice<'_>, experts: &[Slice<'_>], selected: Selected<'_>) -> Result<Vec<Vec<f64>>, KernelError> {
    let mut group = Group::new("energies", base, experts, selected)?;
    let mut sums = vec![vec![0.0; experts.len()]; base.len().div_ceil(GRANULE)];
    dispatch_energies(&mut group, &mut sums);
    Ok(sums)
}

/// The weighted mean of the selected elements that agree in sign, added to the base, for one tile. Stops at the first result
/// that is not a number.
pub fn sce(
    base: &Slice<'_>,
    experts: &[Slice<'_>],
    weights: &[f32],
    selected: Selected<'_>,
    floor: Floor,
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "sce";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    if experts.is_empty() || experts.len() != weights.len() {
        let expected = experts.len().max(1);
        return Err(KernelError::CountMismatch { operation: NAME, what: "weights", expected, found: weights.len() });
    }
    let mut group = Group::new(NAME, base, experts, selected)?;
    dispatch(&mut group, weights, floor, &mut out).map_err(|element| KernelError::NotANumber { element })
}

/// The task vectors of a block after the selection.
struct Group<'a> {
    base: Floats<'a>,
    experts: Vec<Floats<'a>>,
    selected: Selected<'a>,
    deltas: Vec<Block>,
}

impl<'a> Group<'a> {
    fn new(
        operation: &'static str,
        base: &Slice<'a>,
        experts: &[Slice<'a>],
        selected: Selected<'a>,
    ) -> Result<Self, KernelError> {
        let floats = |expert: &Slice<'a>| {
            same_length(operation, base.len(), expert.len())?;
            expert.floats(operation)
        };
        let experts = experts.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
        let deltas = vec![[0.0; BLOCK]; experts.len()];
        Ok(Self { base: base.floats(operation)?, experts, selected, deltas })
    }

    /// Reads a block; `theta0` gets the base.
    #[inline(always)]
    fn read(&mut self, range: &std::ops::Range<usize>, theta0: &mut [f32]) {
        let n = range.len();
        self.base.decode(range, theta0);
        for (expert, delta) in self.experts.iter().zip(&mut self.deltas) {
            expert.decode(range, &mut delta[..n]);
            difference(&mut delta[..n], theta0);
            if let Selected::Chosen(bits) = self.selected {
                bits::zero_others(bits, range.start, &mut delta[..n]);
            }
        }
    }
}

dispatched! {
    fn dispatch_energies / energies_avx2(group: &mut Group<'_>, out: &mut [Vec<f64>]) = energies_body;
}
dispatched! {
    fn dispatch / dispatch_avx2(
        group: &mut Group<'_>, weights: &[f32], floor: Floor, out: &mut FloatsMut<'_>
    ) -> Result<(), usize> = body;
}

#[inline(always)]
fn energies_body(group: &mut Group<'_>, out: &mut [Vec<f64>]) {
    let mut theta0: Block = [0.0; BLOCK];
    for (granule, out) in out.iter_mut().enumerate() {
        let mut sums = vec![Lanes::ZERO; out.len()];
        for range in granule_blocks(granule, group.base.len()) {
            group.read(&range, &mut theta0[..range.len()]);
            for (delta, sum) in group.deltas.iter().zip(&mut sums) {
                sum.add_squares(&delta[..range.len()]);
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.fold());
    }
}

#[inline(always)]
fn body(group: &mut Group<'_>, weights: &[f32], floor: Floor, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut total, mut sum, mut agreed): (Block, Block, Block, Block) =
        ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, total, sum, agreed) = (&mut theta0[..n], &mut total[..n], &mut sum[..n], &mut agreed[..n]);
        group.read(&range, theta0);
        for (index, delta) in group.deltas.iter().enumerate() {
            for (total, delta) in total.iter_mut().zip(&delta[..n]) {
                *total = if index == 0 { 0.0 } else { *total } + *delta;
            }
        }
        for (index, (delta, weight)) in group.deltas.iter().zip(weights).enumerate() {
            erase(index == 0, total, &delta[..n], *weight, sum, agreed);
        }
        for ((sum, agreed), theta0) in sum.iter_mut().zip(&*agreed).zip(&*theta0) {
            *sum = *theta0 + *sum / if *agreed < floor.below { floor.counts_as } else { *agreed };
        }
        finish(out, &range, sum)?;
    }
    Ok(())
}

/// Adds the elements of one task vector times its weight, and the weight, where it has the sign of `total`. A NaN makes the total
/// one; all NaN then take the last comparison, which is negated to let them agree.
#[inline(always)]
fn erase(first: bool, total: &[f32], delta: &[f32], weight: f32, sum: &mut [f32], agreed: &mut [f32]) {
    for (((total, delta), sum), agreed) in total.iter().zip(delta).zip(sum).zip(agreed) {
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must pass")]
        let agrees = if *total >= 0.0 { *delta > 0.0 } else { !(*delta >= 0.0) };
        let weighed = *delta * weight;
        *sum = if first { 0.0 } else { *sum } + if agrees { weighed } else { 0.0 };
        *agreed = if first { 0.0 } else { *agreed } + if agrees { weight } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b, c] = [0, 2, 4, 6].map(|seed| tensor(kind, numel, seed));
            let chosen: Vec<u64> = (0..numel as u64).step_by(64).map(|n| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            for selected in [Selected::All, Selected::Chosen(&chosen)] {
                let group = || Group {
                    base: floats(kind, &base),
                    experts: [&a, &b, &c].map(|bytes| floats(kind, bytes)).to_vec(),
                    selected,
                    deltas: vec![[0.0; BLOCK]; 3],
                };
                let weights = [0.5, 0.3, 0.2];
                for floor in [Floor::MERGEKIT, Floor::ZERO] {
                    let versions = outputs(
                        kind,
                        numel,
                        [
                            &|out| body(&mut group(), &weights, floor, out),
                            &|out| dispatch_avx2(&mut group(), &weights, floor, out),
                            &|out| dispatch(&mut group(), &weights, floor, out),
                        ],
                    );
                    assert_same(versions, (kind, numel, selected));
                }
                type Version = fn(&mut Group<'_>, &mut [Vec<f64>]);
                let sums: [Version; 3] = [energies_body, energies_avx2, dispatch_energies];
                let sums = sums.map(|version| {
                    let mut sums = vec![vec![0.0; 3]; numel.div_ceil(GRANULE)];
                    version(&mut group(), &mut sums);
                    sums.into_iter().flatten().map(f64::to_bits).collect::<Vec<_>>()
                });
                assert_same(sums, (kind, numel, selected));
            }
        }
    }
}
