//! Sums over granules: the bits of the CPU, whatever the grid.

use braid_kernels::{
    Dots, Dtype, GRANULE, Gram, Keep, L1, Mask, MaskKey, Slice, TileTrim, dots, gram, l1, linear, magnitude, slerp_coefficients,
};

use crate::{FLOATS, LENGTHS, TAKEN, Tensor, output};
use braid_gpu::Lane;

/// More than a granule, beside the lengths of all kernels.
const TWO_GRANULES: usize = 2 * GRANULE + 777;

fn bits(grams: &[Gram], count: usize) -> Vec<u64> {
    let of =
        |gram: &Gram| (0..count).flat_map(|i| (0..count).map(move |j| (i, j))).map(|(i, j)| gram.dot(i, j).to_bits()).collect();
    grams.iter().flat_map(|gram: &Gram| -> Vec<u64> { of(gram) }).collect()
}

pub(super) fn inner_products_have_the_same_bits(lane: &mut Lane) {
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| LENGTHS.map(|length| (dtype, length))) {
        let tensors: Vec<Tensor> = (0..3).map(|seed| Tensor::new(dtype, length, 2 * seed)).collect();
        let [a, b, c] = [0, 1, 2].map(|at| tensors[at].slice());
        let of = |dots: Vec<Dots>| dots.iter().flat_map(|d| [d.aa, d.bb, d.ab].map(f64::to_bits)).collect::<Vec<_>>();
        assert_eq!(of(dots(&a, &b).expect(TAKEN)), of(lane.dots(&a, &b).expect(TAKEN)), "{dtype}, {length} elements");
        for base in [None, Some(&c)] {
            let (cpu, gpu) = (gram(base, &[a, b]).expect(TAKEN), lane.gram(base, &[a, b]).expect(TAKEN));
            assert_eq!(bits(&cpu, 2), bits(&gpu, 2), "{dtype}, {length} elements");
        }
    }
}

pub(super) fn many_vectors_take_several_blocks(lane: &mut Lane) {
    let tensors: Vec<Tensor> = (0..11).map(|seed| Tensor::new(Dtype::BF16, TWO_GRANULES, 2 * seed)).collect();
    let inputs: Vec<Slice<'_>> = tensors.iter().map(Tensor::slice).collect();
    let (cpu, gpu) =
        (gram(Some(&inputs[0]), &inputs[1..]).expect(TAKEN), lane.gram(Some(&inputs[0]), &inputs[1..]).expect(TAKEN));
    assert_eq!(gpu.len(), 3);
    assert_eq!(bits(&cpu, 10), bits(&gpu, 10));
}

pub(super) fn norms_have_the_same_bits(lane: &mut Lane) {
    let mask = Mask::new(MaskKey::new(1, 2, "w"), 0.4);
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| [1, 63, 1000, TWO_GRANULES].map(|length| (dtype, length))) {
        let (base, theta) = (Tensor::new(dtype, length, 1), Tensor::new(dtype, length, 2));
        for keep in
            [Keep::All, Keep::Bernoulli { mask, first: 1 << 20 }, Keep::Trim(TileTrim { threshold: magnitude(0.5), ties: 2 })]
        {
            let of = |norms: Vec<L1>| norms.iter().flat_map(|l1| [l1.total, l1.kept].map(f64::to_bits)).collect::<Vec<_>>();
            let (cpu, gpu) = (l1(&base.slice(), &theta.slice(), keep), lane.l1(&base.slice(), &theta.slice(), keep));
            assert_eq!(of(cpu.expect(TAKEN)), of(gpu.expect(TAKEN)), "{dtype}, {length} elements, {keep:?}");
        }
    }
}

/// Both passes of slerp: the products, and then the sum with the coefficients of the arc.
pub(super) fn an_arc_gives_the_same_bytes(lane: &mut Lane) {
    let (a, b) = (Tensor::new(Dtype::BF16, 70_001, 2), Tensor::new(Dtype::BF16, 70_001, 4));
    let inputs = [a.slice(), b.slice()];
    let sum: Dots = lane.dots(&inputs[0], &inputs[1]).expect(TAKEN).into_iter().sum();
    let (of_a, of_b) = slerp_coefficients(&sum, 0.3);
    assert_eq!((of_a, of_b), slerp_coefficients(&dots(&inputs[0], &inputs[1]).expect(TAKEN).into_iter().sum(), 0.3));
    let cpu = output(Dtype::BF16, 70_001, |out| linear(&inputs, &[of_a, of_b], 1.0, out)).expect(TAKEN);
    let gpu = output(Dtype::BF16, 70_001, |out| lane.linear(&inputs, &[of_a, of_b], 1.0, out)).expect(TAKEN);
    assert!(cpu == gpu);
}
