//! Kernels of the last pass: the same bytes, and the same first NaN.

use braid_kernels::{Combine, Dtype, Keep, Mask, MaskKey, TaskVector, TileTrim, convert, linear, magnitude, task_vectors};

use crate::{FLOATS, LENGTHS, REFUSED, TAKEN, Tensor, output};
use braid_gpu::{GpuError, Lane};

pub(super) fn conversions_give_the_same_bytes(lane: &mut Lane) {
    for (from, to) in FLOATS.into_iter().flat_map(|from| FLOATS.map(|to| (from, to))) {
        for length in LENGTHS {
            let input = Tensor::new(from, length, 1);
            let cpu = output(to, length, |out| convert(&input.slice(), out)).expect(TAKEN);
            let gpu = output(to, length, |out| lane.convert(&input.slice(), out)).expect(TAKEN);
            assert!(cpu == gpu, "{from} to {to}, {length} elements");
        }
    }
}

/// Every f32 whose low bits can decide a rounding: all upper halves with each kind of tail.
pub(super) fn every_edge_of_rounding_is_the_same(lane: &mut Lane) {
    let tails = [0u32, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff];
    let edges: Vec<f32> = (0..=u16::MAX).flat_map(|top| tails.map(|tail| f32::from_bits(u32::from(top) << 16 | tail))).collect();
    let input = Tensor::of(&edges);
    for to in [Dtype::F16, Dtype::BF16] {
        let cpu = output(to, edges.len(), |out| convert(&input.slice(), out)).expect(TAKEN);
        let gpu = output(to, edges.len(), |out| lane.convert(&input.slice(), out)).expect(TAKEN);
        assert!(cpu == gpu, "{to}");
    }
}

pub(super) fn sums_give_the_same_bytes(lane: &mut Lane) {
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| LENGTHS.map(|length| (dtype, length))) {
        let tensors = [Tensor::new(dtype, length, 2), Tensor::new(Dtype::BF16, length, 4), Tensor::new(dtype, length, 6)];
        let inputs = tensors.each_ref().map(Tensor::slice);
        for (count, divisor) in [(1, 1.0), (2, 0.9), (3, 1.7)] {
            let weights = &[0.7, -0.2, 1.2][..count];
            let cpu = output(dtype, length, |out| linear(&inputs[..count], weights, divisor, out));
            let gpu = output(dtype, length, |out| lane.linear(&inputs[..count], weights, divisor, out));
            // large numbers are infinite as f16, and their sum then none
            assert!(cpu.map_err(GpuError::Kernel) == gpu, "{dtype}, {length} elements of {count} inputs");
        }
    }
}

/// All rules at once, with and without election: ties too, whose number runs out inside a tile, and masks that begin anywhere.
pub(super) fn task_vectors_give_the_same_bytes(lane: &mut Lane) {
    let chosen = [0x5555_1234_9876_fedcu64; 1030];
    let trim = |threshold, ties| TileTrim { threshold: magnitude(threshold), ties };
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| LENGTHS.map(|length| (dtype, length))) {
        let base = Tensor::new(dtype, length, 0);
        let thetas: Vec<Tensor> = (1..=8).map(|seed| Tensor::new(dtype, length, 2 * seed)).collect();
        let masks = [0.4, 1.0, 0.0].map(|density| Mask::new(MaskKey::new(1, 2, "w"), density));
        let keeps = [
            Keep::All,
            Keep::Trim(trim(0.25, 0)),
            Keep::Trim(trim(0.5, 3)),
            Keep::Band { kept: trim(0.125, 2), outliers: trim(1.0, 1) },
            Keep::Bernoulli { mask: masks[0], first: 17 + (1 << 33) },
            Keep::Bernoulli { mask: masks[1], first: 1 << 16 },
            Keep::Bernoulli { mask: masks[2], first: 0 },
            Keep::Chosen { bits: &chosen, first: 5 },
        ];
        for (elect_sign, normalize) in [(false, false), (false, true), (true, false), (true, true)] {
            let combine = Combine { elect_sign, normalize, lambda: 0.9 };
            let terms: Vec<TaskVector<'_>> = thetas
                .iter()
                .zip(keeps)
                .zip([0.6, -0.4, 0.3, 0.25, 1.0, 0.75, 0.5, 0.6])
                .map(|((theta, keep), weight)| TaskVector { theta: theta.slice(), keep, scale: 1.3, weight })
                .collect();
            // long tensors take their time on a processor
            if length > 10_000 && !(elect_sign && normalize) {
                continue;
            }
            for terms in [&terms[..], &terms[4..5]] {
                let cpu = output(dtype, length, |out| task_vectors(&base.slice(), terms, &combine, out));
                let gpu = output(dtype, length, |out| lane.task_vectors(&base.slice(), terms, &combine, out));
                assert!(cpu.map_err(GpuError::Kernel) == gpu, "{dtype}, {length} elements, {combine:?}, {} experts", terms.len());
            }
        }
    }
}

/// Differences that are small multiples of one number: many ties, most of them dealt out in the middle of a stretch.
pub(super) fn ties_stay_from_the_front(lane: &mut Lane) {
    let length = 5000;
    let theta: Vec<f32> = (0..length).map(|place| (place * 7919 % 5) as f32 * 0.25 - 0.5).collect();
    let (base, theta) = (Tensor::of(&vec![0.0; length]), Tensor::of(&theta));
    let combine = Combine { elect_sign: false, normalize: false, lambda: 1.0 };
    for ties in [0, 1, 7, 8, 9, 1023, 1999, 2000, 2001, 5000, u64::MAX] {
        let keep = Keep::Trim(TileTrim { threshold: magnitude(0.25), ties });
        let terms = [TaskVector { theta: theta.slice(), keep, scale: 1.0, weight: 1.0 }];
        let cpu = output(Dtype::F32, length, |out| task_vectors(&base.slice(), &terms, &combine, out)).expect(TAKEN);
        let gpu = output(Dtype::F32, length, |out| lane.task_vectors(&base.slice(), &terms, &combine, out)).expect(TAKEN);
        assert!(cpu == gpu, "{ties} ties");
    }
}

pub(super) fn the_first_that_is_not_a_number_is_named(lane: &mut Lane) {
    let mut values = vec![1.0f32; 70_000];
    for place in [4097, 4098, 69_999, 50_000] {
        values[place] = f32::NAN;
    }
    let (good, bad) = (Tensor::of(&vec![0.5; 70_000]), Tensor::of(&values));
    let inputs = [good.slice(), bad.slice()];
    let cpu = output(Dtype::BF16, 70_000, |out| linear(&inputs, &[0.5, 0.5], 1.0, out)).expect_err(REFUSED);
    let gpu = output(Dtype::BF16, 70_000, |out| lane.linear(&inputs, &[0.5, 0.5], 1.0, out)).expect_err(REFUSED);
    assert_eq!(gpu, GpuError::Kernel(cpu));
    let none = Mask::new(MaskKey::new(1, 2, "w"), 0.0);
    for keep in [
        Keep::All,
        Keep::Trim(TileTrim::NOTHING),
        Keep::Trim(TileTrim { threshold: 1, ties: 2 }),
        Keep::Bernoulli { mask: none, first: 3 },
        Keep::Band { kept: TileTrim { threshold: 1, ties: 2 }, outliers: TileTrim { threshold: magnitude(0.75), ties: 0 } },
    ] {
        let terms = [TaskVector { theta: bad.slice(), keep, scale: 1.0, weight: 1.0 }];
        let combine = Combine { elect_sign: true, normalize: true, lambda: 1.0 };
        let cpu = output(Dtype::F32, 70_000, |out| task_vectors(&good.slice(), &terms, &combine, out)).expect_err(REFUSED);
        let gpu = output(Dtype::F32, 70_000, |out| lane.task_vectors(&good.slice(), &terms, &combine, out)).expect_err(REFUSED);
        assert_eq!(gpu, GpuError::Kernel(cpu), "{keep:?}");
    }
}
