//! Generalised task arithmetic: a base plus a combination of sparsified, weighted differences to it.
//!
//! The rules are those of mergekit's `GeneralizedTaskArithmeticMerge`, in f32. For element j, with δᵢ = θᵢ − θ₀ and
//! dᵢ = (kept ? δᵢ · scaleᵢ : 0) · weightᵢ:
//!
//! * with election, the majority is + if Σ dᵢ ≥ 0 and − otherwise; out = Σ of the dᵢ of that sign, divisor = Σ of their weights
//!   (0 counts as 1); a zero agrees with neither sign;
//! * without, out = Σ dᵢ, divisor = Σ weightᵢ (below 1e-8 in magnitude counts as 1);
//! * θ = θ₀ + lambda · (normalize ? out / divisor : out).
//!
//! A NaN in any expert reaches the result, whatever is dropped and elected.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::keep::{Keep, Keeper};
use crate::mask::MaskWords;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// One expert's part in a merge of task vectors.
#[derive(Debug, Clone, Copy)]
pub struct TaskVector<'a> {
    /// The expert itself, not the difference.
    pub theta: Slice<'a>,
    /// Which elements of the difference stay.
    pub keep: Keep<'a>,
    /// Makes up for what was dropped; 1 for no rescaling.
    pub scale: f32,
    /// The expert's weight.
    pub weight: f32,
}

/// How the task vectors of all experts become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combine {
    /// Sum only those that agree with the sign of the sum of all.
    pub elect_sign: bool,
    /// Divide by the sum of the weights that took part.
    pub normalize: bool,
    /// Factor on the combination.
    pub lambda: f32,
}

/// `out = base + lambda · combination` for one tile. Stops at the first result that is not a number.
pub fn task_vectors(
    base: &Slice<'_>,
    experts: &[TaskVector<'_>],
    combine: &Combine,
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "task_vectors";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    if experts.is_empty() {
        return Err(KernelError::CountMismatch { operation: NAME, what: "experts", expected: 1, found: 0 });
    }
    let mut terms = Vec::with_capacity(experts.len());
    for expert in experts {
        same_length(NAME, out.len(), expert.theta.len())?;
        let theta = expert.theta.floats(NAME)?;
        terms.push(Term { theta, keeper: Keeper::new(expert.keep), scale: expert.scale, weight: expert.weight });
    }
    dispatch(base.floats(NAME)?, &mut terms, combine, &mut out).map_err(|element| KernelError::NotANumber { element })
}

struct Term<'a> {
    theta: Floats<'a>,
    keeper: Keeper<'a>,
    scale: f32,
    weight: f32,
}

dispatched! {
    fn dispatch / dispatch_avx2(
        base: Floats<'_>, terms: &mut [Term<'_>], combine: &Combine, out: &mut FloatsMut<'_>
    ) -> Result<(), usize> = body;
}

/// Sums start with their first term and not by zeroing a block: the library's `memset` turns to string instructions for sizes
/// like these, and they keep the processor from fetching ahead.
#[inline(always)]
fn body(base: Floats<'_>, terms: &mut [Term<'_>], combine: &Combine, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut total, mut sum, mut agreed): (Block, Block, Block, Block) =
        ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    let mut words = MaskWords::new();
    let mut parts = vec![[0.0f32; BLOCK]; terms.len()];
    let weights = match terms.iter().map(|term| term.weight).sum::<f32>() {
        small if small.abs() < 1e-8 => 1.0,
        weights => weights,
    };
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, total, sum, agreed) = (&mut theta0[..n], &mut total[..n], &mut sum[..n], &mut agreed[..n]);
        base.decode(&range, theta0);
        for (index, (term, part)) in terms.iter_mut().zip(&mut parts).enumerate() {
            let part = &mut part[..n];
            term.theta.decode(&range, part);
            difference(part, theta0);
            term.keeper.apply(part, &mut words);
            let (scale, weight) = (term.scale, term.weight);
            for (part, total) in part.iter_mut().zip(&mut *total) {
                *part = *part * scale * weight;
                *total = if index == 0 { 0.0 } else { *total } + *part;
            }
        }
        let combined = if combine.elect_sign {
            for (index, (term, part)) in terms.iter().zip(&parts).enumerate() {
                elect(index == 0, total, &part[..n], term.weight, sum, agreed);
            }
            if combine.normalize {
                for (sum, agreed) in sum.iter_mut().zip(&*agreed) {
                    *sum /= if *agreed == 0.0 { 1.0 } else { *agreed };
                }
            }
            sum
        } else {
            if combine.normalize {
                for total in &mut *total {
                    *total /= weights;
                }
            }
            total
        };
        for (combined, theta0) in combined.iter_mut().zip(&*theta0) {
            *combined = *theta0 + combine.lambda * *combined;
        }
        finish(out, &range, combined)?;
    }
    Ok(())
}

/// Turns `theta` into its difference to `base`.
#[inline(always)]
pub(crate) fn difference(theta: &mut [f32], base: &[f32]) {
    for (theta, base) in theta.iter_mut().zip(base) {
        *theta -= *base;
    }
}

/// Adds the elements of one task vector, and its weight, where it has the sign of `total`. A NaN makes the total one; all NaN
/// then take the last comparison, which is negated to let them agree.
#[inline(always)]
fn elect(first: bool, total: &[f32], part: &[f32], weight: f32, sum: &mut [f32], agreed: &mut [f32]) {
    for (((total, part), sum), agreed) in total.iter().zip(part).zip(sum).zip(agreed) {
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must pass")]
        let agrees = if *total >= 0.0 { *part > 0.0 } else { !(*part >= 0.0) };
        *sum = if first { 0.0 } else { *sum } + if agrees { *part } else { 0.0 };
        *agreed = if first { 0.0 } else { *agreed } + if agrees { weight } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::TileTrim;
    use crate::mask::{Mask, MaskKey};
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        let keeps = [
            Keep::All,
            Keep::Trim(TileTrim { threshold: crate::magnitude(0.25), ties: 3 }),
            Keep::Bernoulli { mask: Mask::new(MaskKey::new(1, 2, "w"), 0.4), first: 17 },
        ];
        for kind in KINDS {
            for numel in LENGTHS {
                let [base, a, b, c] = [0, 1, 2, 3].map(|seed| tensor(kind, numel, seed));
                for (elect_sign, normalize) in [(false, false), (false, true), (true, false), (true, true)] {
                    let combine = Combine { elect_sign, normalize, lambda: 0.9 };
                    let terms = || {
                        let thetas = [&a, &b, &c].map(|bytes| floats(kind, bytes));
                        let term = |(theta, keep)| Term { theta, keeper: Keeper::new(keep), scale: 1.3, weight: 0.6 };
                        thetas.into_iter().zip(keeps).map(term).collect::<Vec<_>>()
                    };
                    let base = floats(kind, &base);
                    let versions = outputs(
                        kind,
                        numel,
                        [
                            &|out| body(base, &mut terms(), &combine, out),
                            &|out| dispatch_avx2(base, &mut terms(), &combine, out),
                            &|out| dispatch(base, &mut terms(), &combine, out),
                        ],
                    );
                    assert_same(versions, (kind, numel, combine));
                }
            }
        }
    }
}
