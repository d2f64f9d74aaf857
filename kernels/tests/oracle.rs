//! Every kernel against the same formula written plainly in f64, over all lengths and types; and what they refuse.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test has no callers")]

mod common;

use braid_kernels::{
    Combine, Dtype, GRANULE, Keep, KernelError, Mask, MaskKey, Slice, SliceMut, TaskVector, TileTrim, convert, dots, l1, linear,
    magnitude, scale, task_vectors,
};
use common::{FLOATS, LENGTHS, Tensor, assert_close};

/// All pairs of an input type and a length.
fn table() -> impl Iterator<Item = (Dtype, usize)> {
    FLOATS.into_iter().flat_map(|dtype| LENGTHS.map(move |numel| (dtype, numel)))
}

#[test]
fn linear_is_the_weighted_sum() {
    for (dtype, numel) in table() {
        let inputs = [1, 2, 3].map(|model| Tensor::model(dtype, numel, model));
        let weights = [0.7, -0.3, 1.1];
        for (out_dtype, divisor) in [(dtype, 1.0), (Dtype::F32, 1.5), (Dtype::BF16, 1.5)] {
            let mut out = Tensor::empty(out_dtype, numel);
            linear(&inputs.each_ref().map(Tensor::slice), &weights, divisor, &mut out.slice_mut()).unwrap();
            let values = inputs.each_ref().map(Tensor::values);
            let sum = |index: usize| (0..3).map(|i| f64::from(weights[i]) * values[i][index]).sum::<f64>() / f64::from(divisor);
            assert_close(&out, &(0..numel).map(sum).collect::<Vec<_>>(), (dtype, numel, out_dtype));
        }
    }
}

#[test]
fn scale_and_convert_change_values_only_so_far() {
    for (dtype, numel) in table() {
        let input = Tensor::model(dtype, numel, 1);
        let values = input.values();
        for out_dtype in FLOATS {
            let mut out = Tensor::empty(out_dtype, numel);
            convert(&input.slice(), &mut out.slice_mut()).unwrap();
            assert_close(&out, &values, (dtype, numel, out_dtype));
            scale(&input.slice(), -0.3, &mut out.slice_mut()).unwrap();
            assert_close(&out, &values.iter().map(|v| v * f64::from(-0.3f32)).collect::<Vec<_>>(), (dtype, numel, out_dtype));
        }
    }
}

/// The rules of generalised task arithmetic for one element, from the deltas of all experts; NaN where a sum so close to zero
/// that rounding decides its sign is up for election.
fn combined(deltas: &[f64], weights: &[f64], combine: &Combine) -> f64 {
    let total: f64 = deltas.iter().sum();
    let (sum, divisor) = if combine.elect_sign {
        if total != 0.0 && total.abs() < 1e-6 * deltas.iter().map(|d| d.abs()).sum::<f64>() {
            return f64::NAN;
        }
        let majority = if total >= 0.0 { 1.0 } else { -1.0 };
        let agreeing = || deltas.iter().zip(weights).filter(|(delta, _)| **delta * majority > 0.0);
        let divisor: f64 = agreeing().map(|(_, weight)| weight).sum();
        (agreeing().map(|(delta, _)| delta).sum(), if divisor == 0.0 { 1.0 } else { divisor })
    } else {
        let divisor: f64 = weights.iter().sum();
        (total, if divisor.abs() < 1e-8 { 1.0 } else { divisor })
    };
    f64::from(combine.lambda) * if combine.normalize { sum / divisor } else { sum }
}

/// Whether an element of a tile is kept, told from all before it.
fn kept(keep: &Keep<'_>, magnitudes: &[u32]) -> Vec<bool> {
    match keep {
        Keep::Trim(TileTrim { threshold, ties }) => {
            let mut left = *ties;
            let one = |own: &u32| {
                let tied = own == threshold && left > 0;
                left -= u64::from(tied);
                own > threshold || tied
            };
            magnitudes.iter().map(one).collect()
        }
        Keep::Bernoulli { mask, first } => (0..magnitudes.len() as u64).map(|index| mask.keeps(first + index)).collect(),
        _ => vec![true; magnitudes.len()],
    }
}

#[test]
fn task_vectors_follow_the_rules() {
    let keeps = [
        Keep::All,
        Keep::Trim(TileTrim { threshold: magnitude(0.002), ties: 5 }),
        Keep::Trim(TileTrim { threshold: magnitude(0.0), ties: 100 }),
        Keep::Bernoulli { mask: Mask::new(MaskKey::new(3, 1, "w"), 0.3), first: 12_345 },
    ];
    let (weights, scales) = ([0.5f32, 1.0, -0.25], [1.0f32, 3.25, 1.5]);
    for (dtype, numel) in table() {
        let base = Tensor::model(dtype, numel, 0);
        let experts = [1, 2, 3].map(|model| Tensor::model(dtype, numel, model));
        let base_values = base.values();
        for (shift, (elect_sign, normalize)) in
            [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
        {
            let combine = Combine { elect_sign, normalize, lambda: 0.8 };
            let terms: Vec<TaskVector<'_>> = (0..3)
                .map(|i| TaskVector {
                    theta: experts[i].slice(),
                    weight: weights[i],
                    scale: scales[i],
                    keep: keeps[(i + shift) % keeps.len()],
                })
                .collect();
            let deltas: Vec<Vec<f64>> = terms
                .iter()
                .zip(&experts)
                .map(|(term, expert)| {
                    let deltas: Vec<f32> =
                        expert.values().iter().zip(&base_values).map(|(theta, base)| *theta as f32 - *base as f32).collect();
                    let kept = kept(&term.keep, &deltas.iter().map(|delta| magnitude(*delta)).collect::<Vec<_>>());
                    let factor = f64::from(term.scale) * f64::from(term.weight);
                    deltas.iter().zip(kept).map(|(delta, kept)| if kept { f64::from(*delta) * factor } else { 0.0 }).collect()
                })
                .collect();
            let weights = weights.map(f64::from);
            let expected: Vec<f64> = (0..numel)
                .map(|j| base_values[j] + combined(&deltas.iter().map(|own| own[j]).collect::<Vec<_>>(), &weights, &combine))
                .collect();
            let undecided = expected.iter().filter(|value| value.is_nan()).count();
            assert!(undecided * 1000 <= numel, "{undecided} of {numel} elections are undecided");
            for out_dtype in [dtype, Dtype::F32] {
                let mut out = Tensor::empty(out_dtype, numel);
                task_vectors(&base.slice(), &terms, &combine, &mut out.slice_mut()).unwrap();
                assert_close(&out, &expected, (dtype, numel, combine, out_dtype));
            }
        }
    }
}

/// The corners of the rules, by hand: base 1, so that what is added is what was combined.
#[test]
fn elections_and_divisors_at_the_corners() {
    let run = |deltas: &[f32], weights: &[f32], elect_sign: bool, normalize: bool| {
        let base = Tensor::of(Dtype::F32, &[1.0]);
        let experts: Vec<Tensor> = deltas.iter().map(|delta| Tensor::of(Dtype::F32, &[1.0 + delta])).collect();
        let terms: Vec<_> = experts
            .iter()
            .zip(weights)
            .map(|(expert, weight)| TaskVector { theta: expert.slice(), weight: *weight, scale: 1.0, keep: Keep::All })
            .collect();
        let mut out = Tensor::empty(Dtype::F32, 1);
        let combine = Combine { elect_sign, normalize, lambda: 1.0 };
        task_vectors(&base.slice(), &terms, &combine, &mut out.slice_mut()).unwrap();
        out.values()[0] - 1.0
    };
    assert_eq!(run(&[0.5, -0.25], &[1.0, 1.0], true, false), 0.5, "the minority is left out");
    assert_eq!(run(&[0.5, -0.5], &[1.0, 1.0], true, false), 0.5, "a draw is positive");
    assert_eq!(run(&[0.5, 0.0], &[1.0, 3.0], true, true), 0.5, "zero agrees with nobody and adds no weight");
    assert_eq!(run(&[0.0, 0.0], &[1.0, 1.0], true, true), 0.0, "no weight at all divides by one");
    assert_eq!(run(&[0.5, -0.25], &[1.0, -1.0], true, true), 0.75, "agreeing weights that cancel divide by one");
    assert_eq!(run(&[0.5, 0.25], &[2.0, 2.0], true, true), 0.375, "agreeing experts are averaged");
    assert_eq!(run(&[0.5, 0.25], &[1.0, -1.0], false, true), 0.25, "weights that cancel divide by one");
    assert_eq!(run(&[0.5, 0.25], &[1.0, 1.0], false, true), 0.375, "without election, zeros and all count");
}

#[test]
fn statistics_are_the_sums() {
    let mask = Mask::new(MaskKey::new(5, 0, "w"), 0.25);
    let keep = Keep::Bernoulli { mask, first: 0 };
    for (dtype, numel) in table() {
        let [a, b] = [1, 2].map(|model| Tensor::model(dtype, numel, model));
        let (x, y) = (a.values(), b.values());
        let single = |value: f64| f64::from(value as f32);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3));
        let products = dots(&a.slice(), &b.slice()).unwrap();
        let norms = l1(&a.slice(), &b.slice(), keep).unwrap();
        assert_eq!((products.len(), norms.len()), (numel.div_ceil(GRANULE), numel.div_ceil(GRANULE)));
        for granule in 0..products.len() {
            let range = granule * GRANULE..numel.min((granule + 1) * GRANULE);
            let sum = |term: &dyn Fn(usize) -> f64| range.clone().map(term).sum::<f64>();
            close(products[granule].aa, sum(&|j| single(x[j]) * single(x[j])));
            close(products[granule].bb, sum(&|j| single(y[j]) * single(y[j])));
            close(products[granule].ab, sum(&|j| single(x[j]) * single(y[j])));
            let delta = |j: usize| f64::from((y[j] as f32 - x[j] as f32).abs());
            close(norms[granule].total, sum(&delta));
            close(norms[granule].kept, sum(&|j| if mask.keeps(j as u64) { delta(j) } else { 0.0 }));
        }
    }
}

#[test]
fn rescaling_keeps_the_norm() {
    let [base, theta] = [0, 1].map(|model| Tensor::model(Dtype::F32, 200_000, model));
    for density in [0.05, 0.2, 0.7] {
        let keep = Keep::Bernoulli { mask: Mask::new(MaskKey::new(5, 0, "w"), density), first: 0 };
        let norms: braid_kernels::L1 = l1(&base.slice(), &theta.slice(), keep).unwrap().into_iter().sum();
        let expert = TaskVector { theta: theta.slice(), weight: 1.0, scale: norms.rescale(), keep };
        let mut out = Tensor::empty(Dtype::F64, 200_000);
        let combine = Combine { elect_sign: false, normalize: false, lambda: 1.0 };
        task_vectors(&base.slice(), &[expert], &combine, &mut out.slice_mut()).unwrap();
        let norm: f64 = out.values().iter().zip(base.values()).map(|(out, base)| (out - base).abs()).sum();
        assert!((norm / norms.total - 1.0).abs() < 1e-4, "{norm} of {} at {density}", norms.total);
        assert!((f64::from(norms.rescale()) * density - 1.0).abs() < 0.05, "near 1 / density: {}", norms.rescale());
    }
}

#[test]
fn the_first_nan_is_named_and_infinities_pass() {
    let numel = 5000;
    let place = |bad: f32, at: &[usize]| {
        let mut values = vec![0.5; numel];
        at.iter().for_each(|index| values[*index] = bad);
        Tensor::of(Dtype::BF16, &values)
    };
    let (base, bad, infinite) = (place(0.0, &[]), place(f32::NAN, &[4321, 1234, 4999]), place(f32::INFINITY, &[7]));
    let mut out = Tensor::empty(Dtype::BF16, numel);
    let nan = Err(KernelError::NotANumber { element: 1234 });
    assert_eq!(linear(&[base.slice(), bad.slice()], &[1.0, 0.0], 1.0, &mut out.slice_mut()), nan);
    assert_eq!(scale(&bad.slice(), 2.0, &mut out.slice_mut()), nan);
    assert_eq!(scale(&infinite.slice(), 2.0, &mut out.slice_mut()), Ok(()));
    assert_eq!(convert(&bad.slice(), &mut Tensor::empty(Dtype::F32, numel).slice_mut()), Ok(()));
    let keeps = [
        Keep::All,
        Keep::Trim(TileTrim { threshold: magnitude(0.1), ties: 0 }),
        Keep::Bernoulli { mask: Mask::new(MaskKey::new(1, 1, "w"), 0.0), first: 0 },
    ];
    for (keep, elect_sign) in keeps.into_iter().flat_map(|keep| [(keep, false), (keep, true)]) {
        let good = TaskVector { theta: base.slice(), weight: 1.0, scale: 1.0, keep };
        let combine = Combine { elect_sign, normalize: elect_sign, lambda: 1.0 };
        let run = |theta: &Tensor| {
            let expert = TaskVector { theta: theta.slice(), ..good };
            task_vectors(&base.slice(), &[good, expert], &combine, &mut Tensor::empty(Dtype::BF16, numel).slice_mut())
        };
        assert_eq!(run(&bad), nan, "{keep:?}, {combine:?}");
        assert_eq!(run(&infinite), Ok(()), "{keep:?}, {combine:?}");
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let bytes = [0u8; 8];
    let mut room = [0u8; 8];
    let slice = |dtype| Slice::new(dtype, &bytes).unwrap();
    let mut check = |dtype, result: &dyn Fn(&mut SliceMut<'_>) -> Result<(), KernelError>| {
        result(&mut SliceMut::new(dtype, &mut room).unwrap()).unwrap_err()
    };
    for dtype in [Dtype::I64, Dtype::U8, Dtype::Bool, Dtype::F8E4M3, Dtype::F8E5M2] {
        let error = check(dtype, &|out| scale(&slice(dtype), 1.0, out));
        assert_eq!(error, KernelError::NotFloat { operation: "scale", dtype });
        assert!(error.to_string().contains(dtype.name()), "{error}");
        assert!(matches!(dots(&slice(dtype), &slice(dtype)), Err(KernelError::NotFloat { .. })));
    }
    let mismatch = KernelError::LengthMismatch { operation: "linear", expected: 4, found: 2 };
    assert_eq!(check(Dtype::F16, &|out| linear(&[slice(Dtype::F32)], &[1.0], 1.0, out)), mismatch);
    for (inputs, weights) in [(vec![slice(Dtype::F32)], vec![]), (vec![], vec![])] {
        assert!(matches!(check(Dtype::F32, &|out| linear(&inputs, &weights, 1.0, out)), KernelError::CountMismatch { .. }));
    }
    assert!(matches!(check(Dtype::I32, &|out| convert(&slice(Dtype::F32), out)), KernelError::NotFloat { .. }));
    assert_eq!(convert(&slice(Dtype::I32), &mut SliceMut::new(Dtype::I32, &mut room).unwrap()), Ok(()));
}
