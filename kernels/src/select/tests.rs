//! The selection against a model that sorts, over distributions, cuts into tiles, orders of work and limits.

use proptest::prelude::*;

use super::*;
use crate::keep::Keeper;
use crate::mask::MaskWords;
use crate::{Dtype, Slice, magnitude, philox4x32};

/// What the tensor of a case looks like; each kind once broke a selection somewhere.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Bell,
    /// Differences of bf16 numbers: few values, each of many elements.
    Coarse,
    AllEqual,
    AllZero,
    MostlyZero,
    TwoValues,
    /// Magnitudes grow with the index: any sample by place is off.
    Ramp,
    /// One row in a hundred is large.
    Rows,
    Infinities,
}

fn values(shape: Shape, numel: usize, seed: u32) -> Vec<f32> {
    let draw = |index: usize| {
        let words = philox4x32([index as u32, 1, 2, 3], [seed, 0]);
        words.iter().map(|word| *word as f32 / u32::MAX as f32 - 0.5).sum::<f32>()
    };
    let one = |index: usize| {
        let bell = draw(index);
        match shape {
            Shape::Bell => bell,
            Shape::Coarse => (bell * 40.0).round() / 1024.0,
            Shape::AllEqual => -0.25f32.copysign(bell),
            Shape::AllZero => 0.0f32.copysign(bell),
            Shape::MostlyZero => {
                if bell > 0.9 {
                    bell
                } else {
                    0.0
                }
            }
            Shape::TwoValues => {
                if bell > 0.1 {
                    1.0
                } else {
                    -2.0
                }
            }
            Shape::Ramp => index as f32,
            Shape::Rows => {
                if (index / 1000).is_multiple_of(100) {
                    bell * 1e6
                } else {
                    bell
                }
            }
            Shape::Infinities => {
                if bell > 0.5 {
                    f32::INFINITY
                } else {
                    bell
                }
            }
        }
    };
    (0..numel).map(one).collect()
}

/// The elements kept by sorting all of them: by magnitude, then by place.
fn model(values: &[f32], k: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(magnitude(values[*index])), *index));
    let mut keep = vec![false; values.len()];
    for index in &order[..k.min(values.len())] {
        keep[*index] = true;
    }
    keep
}

struct Case {
    bytes: Vec<u8>,
    base: Vec<u8>,
    cuts: Vec<usize>,
}

impl Case {
    fn new(values: &[f32], mut cuts: Vec<usize>) -> Self {
        cuts.extend([0, values.len()]);
        cuts.sort_unstable();
        Self { bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(), base: vec![0; values.len() * 4], cuts }
    }

    fn slices(&self, range: std::ops::Range<usize>) -> (Slice<'_>, Slice<'_>) {
        let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap().part(range.clone()).unwrap();
        (slice(&self.base), slice(&self.bytes))
    }

    /// Runs a selection to its end, measuring the last tiles first; the names of its passes and what it keeps.
    fn run(&self, k: u64, limit: usize, by_pieces: bool) -> (Vec<&'static str>, Trim) {
        let numel = self.bytes.len() / 4;
        let mut selection = Selection::new(numel as u64, k, limit);
        let mut passes = Vec::new();
        while let Some(pass) = selection.pass() {
            passes.push(match pass.work() {
                Work::Sample(_) => "sample",
                Work::Scan(_) => "scan",
                Work::Histogram(_) => "histogram",
            });
            assert!(passes.len() <= 5, "{passes:?}");
            let measure = |range: std::ops::Range<usize>| {
                let (base, theta) = self.slices(range.clone());
                pass.measure(&base, &theta, range.start as u64).unwrap()
            };
            let tiles: Vec<_> = match pass.pieces() {
                Some(pieces) if by_pieces => pieces.iter().map(|piece| piece.start as usize..piece.end as usize).collect(),
                _ => self.cuts.windows(2).map(|cut| cut[0]..cut[1]).collect(),
            };
            let mut parts: Vec<Part> = tiles.into_iter().rev().map(measure).collect();
            parts.reverse();
            selection.absorb(parts).unwrap();
        }
        (passes, selection.trim().unwrap().clone())
    }

    fn kept(&self, values: &[f32], trim: &Trim) -> Vec<bool> {
        let mut kept = Vec::new();
        for (tile, cut) in self.cuts.windows(2).enumerate() {
            // Kept elements are told from dropped ones by a mark that is no zero.
            let mut keeper = Keeper::new(trim.keep(tile));
            for block in values[cut[0]..cut[1]].chunks(crate::block::BLOCK) {
                let mut block = block.to_vec();
                let before = block.clone();
                keeper.apply(&mut block, &mut MaskWords::new());
                kept.extend(block.iter().zip(before).map(|(after, before)| *after != 0.0 || before == 0.0));
            }
        }
        kept
    }

    fn check(&self, values: &[f32], k: u64, limit: usize) -> Vec<&'static str> {
        let (passes, trim) = self.run(k, limit, false);
        let mut expected = model(values, k as usize);
        // A zero is zero whether kept or not.
        expected.iter_mut().zip(values).for_each(|(keep, value)| *keep |= *value == 0.0);
        assert!(self.kept(values, &trim) == expected, "k {k}, limit {limit}, {passes:?}, {trim:?}");
        if let Trim::Above { threshold, ties } = &trim {
            let above = values.iter().filter(|value| magnitude(**value) > *threshold).count() as u64;
            assert_eq!(above + ties.iter().sum::<u64>(), k, "exactly k are kept, zeros included");
        }
        assert_eq!(self.run(k, limit, true).1, trim, "reading only the pieces of a sample changes nothing");
        passes
    }
}

#[test]
fn the_usual_tensor_takes_a_sample_and_one_scan() {
    for shape in [Shape::Bell, Shape::Coarse, Shape::MostlyZero, Shape::AllEqual, Shape::AllZero, Shape::TwoValues, Shape::Rows] {
        let values = values(shape, 1 << 20, 5);
        let case = Case::new(&values, vec![300_000, 300_001, 700_000]);
        for density in [0.01, 0.2, 0.5, 0.9] {
            let passes = case.check(&values, kept(density, 1 << 20), 1 << 20);
            assert_eq!(passes, ["sample", "scan"], "{shape:?} at {density}");
        }
    }
}

#[test]
fn tiny_limits_fall_back_to_histograms_and_find_the_same() {
    let mut seen = std::collections::BTreeSet::new();
    for shape in [Shape::Bell, Shape::Coarse, Shape::Ramp, Shape::Rows, Shape::Infinities, Shape::AllEqual] {
        let values = values(shape, 100_000, 9);
        let case = Case::new(&values, vec![1, 65_536]);
        for limit in [0, 64, 4 << 10, 32 << 10, 1 << 20] {
            for k in [1, 2, 777, 50_000, 99_999] {
                seen.insert(case.check(&values, k, limit).join(" "));
            }
        }
    }
    for path in ["sample scan", "sample histogram scan", "sample histogram histogram scan"] {
        assert!(seen.contains(path), "{path} was never taken, only {seen:?}");
    }
}

#[test]
fn a_sample_unlike_the_tensor_costs_passes_and_nothing_else() {
    const N: usize = 100_000;
    let bell = values(Shape::Bell, N, 3);
    let mut seen = std::collections::BTreeSet::new();
    // Outside the sample: far above the bracket, far below, and all of it close to the median of the sample.
    let others: [fn(f32) -> f32; 3] = [|v| v + 1000.0, |v| v / 1e6, |v| 0.39 + v / 1e3];
    for limit in [200_000, 1 << 20] {
        let sampled: Vec<_> = Sample::new(N as u64, limit).pieces.iter().collect();
        let in_sample = |index: usize| sampled.iter().any(|piece| piece.contains(&(index as u64)));
        for other in others {
            let values: Vec<f32> = bell.iter().enumerate().map(|(i, v)| if in_sample(i) { *v } else { other(*v) }).collect();
            seen.insert(Case::new(&values, vec![12_345]).check(&values, N as u64 / 2, limit).join(" "));
        }
    }
    for path in ["sample scan scan", "sample scan histogram scan"] {
        assert!(seen.contains(path), "{path} was never taken, only {seen:?}");
    }
}

#[test]
fn several_experts_share_a_base() {
    let tensors = [values(Shape::Bell, 200_000, 1), values(Shape::Coarse, 200_000, 2)];
    let cases = tensors.each_ref().map(|values| Case::new(values, vec![]));
    let mut selections = [Selection::new(200_000, 1000, 1 << 20), Selection::new(200_000, 150_000, 1 << 20)];
    while let [Some(first), Some(second)] = selections.each_ref().map(Selection::pass) {
        let ((base, one), (_, two)) = (cases[0].slices(0..200_000), cases[1].slices(0..200_000));
        let parts = measure_together(&[first, second], &base, &[one, two], 0).unwrap();
        for (selection, part) in selections.iter_mut().zip(parts) {
            selection.absorb(vec![part]).unwrap();
        }
    }
    for ((selection, case), k) in selections.iter().zip(&cases).zip([1000, 150_000]) {
        assert_eq!(selection.trim(), Some(&case.run(k, 1 << 20, false).1));
    }
}

#[test]
fn a_driver_that_errs_gets_an_error() {
    let values = values(Shape::Bell, 1000, 1);
    let case = Case::new(&values, vec![]);
    let mut selection = Selection::new(1000, 10, 1 << 20);
    let pass = selection.pass().unwrap();
    let (base, theta) = case.slices(0..400);
    let part = pass.measure(&base, &theta, 0).unwrap();
    assert_eq!(selection.absorb(vec![part]), Err(KernelError::IncompletePass { expected: 1000, found: 400 }));
    let other = Selection::new(100_000, 10, 1 << 20);
    let foreign = other.pass().unwrap().measure(&base, &theta, 0).unwrap();
    assert_eq!(selection.absorb(vec![foreign]), Err(KernelError::ForeignPart));
}

#[test]
fn a_tensor_that_changes_between_passes_is_noticed() {
    let first = Case::new(&values(Shape::Bell, 100_000, 1), vec![]);
    let second = Case::new(&vec![0.0; 100_000], vec![]);
    let mut selection = Selection::new(100_000, 500, 0);
    let mut result = Ok(());
    for case in [&first, &first, &second, &second, &second] {
        let Some(pass) = selection.pass() else { break };
        let (base, theta) = case.slices(0..100_000);
        let part = pass.measure(&base, &theta, 0).unwrap();
        result = selection.absorb(vec![part]);
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(KernelError::Changed));
}

#[test]
fn at_least_one_is_kept_and_at_most_all() {
    for (density, numel, expected) in
        [(0.5, 7, 3), (0.0, 7, 1), (1e-9, 1000, 1), (1.0, 7, 7), (2.0, 7, 7), (f64::NAN, 7, 1), (0.5, 0, 0), (-1.0, 3, 1)]
    {
        assert_eq!(kept(density, numel), expected, "{density} of {numel}");
    }
    assert_eq!(Selection::new(7, 7, 0).trim(), Some(&Trim::All));
    assert_eq!(Selection::new(0, 0, 0).trim(), Some(&Trim::All));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn equals_a_sort(
        shape in prop::sample::select(vec![
            Shape::Bell, Shape::Coarse, Shape::AllEqual, Shape::AllZero, Shape::MostlyZero, Shape::TwoValues, Shape::Ramp,
            Shape::Rows, Shape::Infinities,
        ]),
        numel in prop_oneof![1usize..2000, 60_000usize..140_000],
        seed: u32,
        density in 0.0..1.0f64,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        limit in prop::sample::select(vec![0usize, 100, 10_000, 1 << 24]),
    ) {
        let values = values(shape, numel, seed);
        let case = Case::new(&values, cuts.into_iter().map(|cut| cut.index(numel + 1)).collect());
        case.check(&values, kept(density, numel as u64), limit);
    }
}
