//! What stays of a task vector: the k largest, and what is drawn by rank.

use braid_kernels::{Chances, Dtype, Keep, MaskKey, MaskedPiece, Selection, Slice, TileTrim, ranked};

use crate::{FLOATS, TAKEN, Tensor};
use braid_gpu::Lane;

/// The answer of the CPU, which looks at the tensor as one tile.
fn selected(base: &Slice<'_>, theta: &Slice<'_>, k: u64) -> TileTrim {
    let mut search = Selection::new(base.len() as u64, k, 1 << 24);
    while let Some(pass) = search.pass() {
        let part = pass.measure(base, theta, 0).expect(TAKEN);
        search.absorb(vec![part]).expect(TAKEN);
    }
    match search.trim().map(|trim| trim.keep(0)) {
        Some(Keep::All) => TileTrim::EVERYTHING,
        Some(Keep::Trim(trim)) => trim,
        _ => TileTrim::NOTHING,
    }
}

pub(super) fn thresholds_and_ties_are_exact(lane: &mut Lane) {
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| [1, 2, 255, 5000, 70_001].map(|length| (dtype, length))) {
        let (base, theta) = (Tensor::new(dtype, length, 1), Tensor::new(dtype, length, 4));
        for share in [0.0, 0.01, 0.5, 0.93, 1.0] {
            let k = ((share * length as f64) as u64).max(1);
            let expected = selected(&base.slice(), &theta.slice(), k);
            assert_eq!(lane.largest(&base.slice(), &theta.slice(), k).expect(TAKEN), expected, "{k} of {length} {dtype}");
        }
    }
}

pub(super) fn elements_that_are_all_alike_are_ties(lane: &mut Lane) {
    let (zeros, ones) = (Tensor::of(&[0.0; 3000]), Tensor::of(&[-1.0; 3000]));
    let trim = lane.largest(&zeros.slice(), &ones.slice(), 1234).expect(TAKEN);
    assert_eq!(trim, TileTrim { threshold: 1.0f32.to_bits(), ties: 1234 });
    let trim = lane.largest(&zeros.slice(), &zeros.slice(), 7).expect(TAKEN);
    assert_eq!(trim, TileTrim { threshold: 0, ties: 7 });
}

pub(super) fn draws_by_rank_are_the_same_bit_for_bit(lane: &mut Lane) {
    let chances = Chances { low: 0.35, high: 0.65 };
    let key = MaskKey::new(3, 1, "w");
    for ((dtype, rows, row), seed) in FLOATS
        .into_iter()
        .flat_map(|dtype| [(3, 1000), (5, 37), (1, 1), (9, 1), (2, 8195)].map(|(rows, row)| (dtype, rows, row)))
        .flat_map(|case| [4, 5].map(|seed| (case, seed)))
    {
        // odd seeds have infinities, whose step is a case of its own
        let (base, theta) = (Tensor::new(dtype, rows * row, 2), Tensor::new(dtype, rows * row, seed));
        let (base, theta) = (base.slice(), theta.slice());
        let first = 640 + u64::from(seed);
        let expected = ranked(&base, &theta, row, 0..rows * row, &chances, MaskedPiece { key, first }).expect(TAKEN);
        let found = lane.ranked(&base, &theta, row, &chances, MaskedPiece { key, first }).expect(TAKEN);
        assert!(found == expected, "{rows} rows of {row} {dtype}");
    }
    let tensor = Tensor::new(Dtype::F32, 8, 2);
    let piece = MaskedPiece { key, first: 0 };
    assert!(lane.ranked(&tensor.slice(), &tensor.slice(), 3, &chances, piece).is_err(), "no whole rows");
}
