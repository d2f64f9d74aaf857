//! Parameter competition balancing (PCB): how much each task's change of an element counts beside those of the others.
//!
//! With δᵢ = θᵢ − θ₀ for n tasks, ãᵢ = |δᵢ| clamped to a range of its task, and m = (ãᵢ − low)/(high − low): the balance of task i is
//! exp(n·m²) · tanh(δᵢ · Σ δⱼ). Balances below a floor of their task count as the floor, and what is left is brought to 0 ..= 1, sᵢ. The
//! result is θ₀ + lambda · Σ sᵢ·sgn(δᵢ)·ãᵢ / max(Σ sᵢ, 1e-12).
//!
//! Differences and their sum are f32, all else f64; a balance is rounded to f32, which is what floors are found among.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::exponential::exp;
use crate::merge::difference;
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// The range that the magnitudes of a task are clamped to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Smaller ones become this.
    pub low: f32,
    /// Larger ones become this.
    pub high: f32,
}

/// What is known of a task over the whole model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender {
    /// The range of its magnitudes.
    pub clamp: Clamp,
    /// Balances below count as this.
    pub floor: f32,
    /// The largest balance.
    pub most: f32,
}

/// Sums of shares below this count as this.
const LEAST: f64 = 1e-12;

/// The balance of a task in one element, from its change and the sum of those of all `tasks`.
#[inline(always)]
pub(crate) fn balance(change: f32, total: f32, clamp: Clamp, tasks: f64) -> f32 {
    let place = share(f64::from(clamped(change, clamp)), f64::from(clamp.low), f64::from(clamp.high));
    // e^(n·m²) by powers that are not positive
    let within = exp(tasks * (place * place - 1.0)) / exp(-tasks);
    (within * tanh(f64::from(change) * f64::from(total))) as f32
}

#[inline(always)]
fn clamped(change: f32, clamp: Clamp) -> f32 {
    let size = change.abs();
    if size < clamp.low {
        clamp.low
    } else if size > clamp.high {
        clamp.high
    } else {
        size
    }
}

/// Where a value is between two others; 0 where these are the same.
#[inline(always)]
fn share(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value - low) / (high - low) } else { 0.0 }
}

#[inline(always)]
fn tanh(x: f64) -> f64 {
    let size = x.abs();
    let power = exp(-2.0 * size);
    let square = x * x;
    // near zero 1 − e^(−2x) cancels
    let series = size * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0))));
    let tanh = if size < 0.03 { series } else { (1.0 - power) / (1.0 + power) };
    if x < 0.0 { -tanh } else { tanh }
}

/// The balanced changes added to the base, for one tile; `contenders` are the experts' in order. Stops at the first result that is
/// not a number.
pub fn balanced(
    base: &Slice<'_>,
    experts: &[Slice<'_>],
    contenders: &[Contender],
    lambda: f32,
    out: &mut SliceMut<'_>,
) -> Result<(), KernelError> {
    const NAME: &str = "balanced";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), base.len())?;
    if experts.is_empty() || experts.len() != contenders.len() {
        let (expected, found) = (experts.len().max(1), contenders.len());
        return Err(KernelError::CountMismatch { operation: NAME, what: "contenders", expected, found });
    }
    let mut terms = Vec::with_capacity(experts.len());
    for (expert, contender) in experts.iter().zip(contenders) {
        same_length(NAME, out.len(), expert.len())?;
        terms.push((expert.floats(NAME)?, *contender));
    }
    dispatch(base.floats(NAME)?, &terms, lambda, &mut out).map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch / dispatch_avx2(
        base: Floats<'_>, terms: &[(Floats<'_>, Contender)], lambda: f32, out: &mut FloatsMut<'_>
    ) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(base: Floats<'_>, terms: &[(Floats<'_>, Contender)], lambda: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta0, mut total): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut deltas = vec![[0.0f32; BLOCK]; terms.len()];
    let tasks = terms.len() as f64;
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta0, total) = (&mut theta0[..n], &mut total[..n]);
        base.decode(&range, theta0);
        for (index, ((theta, _), delta)) in terms.iter().zip(&mut deltas).enumerate() {
            theta.decode(&range, &mut delta[..n]);
            difference(&mut delta[..n], theta0);
            for (total, delta) in total.iter_mut().zip(&*delta) {
                *total = if index == 0 { 0.0 } else { *total } + *delta;
            }
        }
        let (mut sums, mut shares) = ([0.0f64; BLOCK], [0.0f64; BLOCK]);
        for ((_, contender), delta) in terms.iter().zip(&deltas) {
            let Contender { clamp, floor, most } = *contender;
            for (((delta, total), sum), all) in delta[..n].iter().zip(&*total).zip(&mut sums).zip(&mut shares) {
                let own = balance(*delta, *total, clamp, tasks);
                let own = if own < floor { floor } else { own };
                let share = share(f64::from(own), f64::from(floor), f64::from(most));
                let size = f64::from(clamped(*delta, clamp));
                // NaN is neither, and stays
                let signed = if *delta > 0.0 {
                    size
                } else if *delta < 0.0 {
                    -size
                } else {
                    f64::from(*delta)
                };
                *sum += share * signed;
                *all += share;
            }
        }
        for (((total, theta0), sum), all) in total.iter_mut().zip(&*theta0).zip(&sums).zip(&shares) {
            let change = sum / if *all < LEAST { LEAST } else { *all };
            *total = *theta0 + lambda * change as f32;
        }
        finish(out, &range, total)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn hyperbolic_tangents_are_those_of_libm() {
        for step in -60_000..60_000 {
            let x = f64::from(step) * 0.000_2;
            let (found, expected) = (tanh(x), libm::tanh(x));
            assert!((found - expected).abs() <= 3e-12 * expected.abs(), "tanh {x}: {found}, not {expected}");
        }
        assert_eq!((tanh(1e-12), tanh(-40.0), tanh(0.0)), (1e-12, -1.0, 0.0));
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        let contender = Contender { clamp: Clamp { low: 1e-3, high: 0.8 }, floor: 0.01, most: 2.0 };
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b] = [0, 2, 4].map(|seed| tensor(kind, numel, seed));
            let terms = [(floats(kind, &a), contender), (floats(kind, &b), contender)];
            let base = floats(kind, &base);
            let versions = outputs(
                kind,
                numel,
                [&|out| body(base, &terms, 0.9, out), &|out| dispatch_avx2(base, &terms, 0.9, out), &|out| {
                    dispatch(base, &terms, 0.9, out)
                }],
            );
            assert_same(versions, (kind, numel));
        }
    }
}
