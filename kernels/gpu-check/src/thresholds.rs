//! What stays of a task vector: the k largest, and what is drawn by rank.

use braid_kernels::{
    Buckets, Chances, Dtype, KernelError, MaskKey, MaskedPiece, Part, Pass, Selection, Slice, Source, Trim, count_in_buckets,
    measure_sources, ranked,
};

use crate::{FLOATS, TAKEN, Tensor};
use braid_gpu::{GpuError, Lane};

/// How a pass looks at one tile of a task vector.
type Look<'a> = &'a mut dyn FnMut(&Source<'_>, &[&Pass], u64) -> Vec<Part>;

/// The threshold of the `k` largest, of a search that may hold so many bytes, over tiles of a granule; and how many passes looked at
/// every element.
fn threshold((base, theta): (&Slice<'_>, &Slice<'_>), k: u64, limit: usize, look: Look<'_>) -> (Option<Trim>, usize) {
    let (mut search, mut passes) = (Selection::new(base.len() as u64, k, limit), 0);
    while let Some(pass) = search.pass() {
        passes += usize::from(pass.wanted().is_some());
        let parts = (0..base.len()).step_by(1 << 16).flat_map(|first| {
            let own = first..base.len().min(first + (1 << 16));
            let [base, theta] = [base, theta].map(|slice| slice.part(own.clone()).expect(TAKEN));
            look(&Source::Difference { base, theta }, &[pass], first as u64)
        });
        let parts = parts.collect();
        search.absorb(parts).expect(TAKEN);
    }
    (search.trim().cloned(), passes)
}

fn on_cpu(source: &Source<'_>, passes: &[&Pass], first: u64) -> Vec<Part> {
    measure_sources(&[(source.clone(), passes.to_vec())], first).expect(TAKEN)
}

pub(super) fn thresholds_and_ties_are_exact(lane: &mut Lane) {
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| [1, 2, 255, 5000, 70_001].map(|length| (dtype, length))) {
        let (base, theta) = (Tensor::new(dtype, length, 1), Tensor::new(dtype, length, 4));
        let both = (&base.slice(), &theta.slice());
        // where memory is short, histograms come first
        let limits: &[usize] = if length > 10_000 { &[1 << 24, 2000] } else { &[1 << 24] };
        for (share, limit) in
            [0.0, 0.01, 0.5, 0.93, 1.0].into_iter().flat_map(|share| limits.iter().map(move |limit| (share, *limit)))
        {
            let k = ((share * length as f64) as u64).max(1);
            let (expected, _) = threshold(both, k, limit, &mut on_cpu);
            let (found, passes) =
                threshold(both, k, limit, &mut |source, passes, first| match passes.iter().all(|pass| pass.wanted().is_some()) {
                    true => lane.measure(&[(source.clone(), passes.to_vec())]).expect(TAKEN),
                    false => on_cpu(source, passes, first),
                });
            assert_eq!(found, expected, "{k} of {length} {dtype} in {limit} bytes");
            assert!(passes > 0 || k >= length as u64, "no pass over {length} {dtype}");
        }
    }
}

pub(super) fn elements_that_are_all_alike_are_ties(lane: &mut Lane) {
    let (zeros, ones) = (Tensor::of(&[0.0; 3000]), Tensor::of(&[-1.0; 3000]));
    let mut trim = |theta: &Tensor, k| {
        let look: Look<'_> = &mut |source, passes, _| lane.measure(&[(source.clone(), passes.to_vec())]).expect(TAKEN);
        threshold((&zeros.slice(), &theta.slice()), k, 1 << 20, look).0
    };
    assert_eq!(trim(&ones, 1234), Some(Trim::Above { threshold: 1.0f32.to_bits(), ties: vec![1234] }));
    assert_eq!(trim(&zeros, 7), Some(Trim::Above { threshold: 0, ties: vec![7] }));
}

/// A sample unlike the tensor, so that the bracket has far more inside than the search may hold: none of it is handed back, and the search
/// takes as many passes as on the CPU.
pub(super) fn scans_that_find_too_many_are_followed_by_a_histogram(lane: &mut Lane) {
    const LENGTH: usize = 100_000;
    const LIMIT: usize = 200_000;
    let search = Selection::new(LENGTH as u64, LENGTH as u64 / 2, LIMIT);
    let pieces = search.pass().and_then(Pass::pieces).expect("a search that begins with a sample");
    let mut values: Vec<f32> = (0..LENGTH).map(|index| 0.5 + index as f32 / LENGTH as f32 / 1e3).collect();
    for piece in pieces.iter() {
        let (first, own) = (piece.start as usize, &mut values[piece.start as usize..piece.end as usize]);
        own.iter_mut().enumerate().for_each(|(place, value)| *value = ((first + place) % 997) as f32 / 996.0);
    }
    let (base, theta) = (Tensor::of(&vec![0.0; LENGTH]), Tensor::of(&values));
    let (both, k) = ((&base.slice(), &theta.slice()), LENGTH as u64 / 2);
    let by_cpu = threshold(both, k, LIMIT, &mut on_cpu);
    let by_lane =
        threshold(both, k, LIMIT, &mut |source, passes, first| match passes.iter().all(|pass| pass.wanted().is_some()) {
            true => lane.measure(&[(source.clone(), passes.to_vec())]).expect(TAKEN),
            false => on_cpu(source, passes, first),
        });
    assert_eq!(by_lane, by_cpu);
    assert_eq!(by_cpu.1, 3, "a scan, a histogram, and a scan of one interval");
}

/// Several vectors of one base, one of them under two passes; sources and passes that there is no kernel for.
pub(super) fn searches_side_by_side_are_each_answered(lane: &mut Lane) {
    let tensors: Vec<Tensor> = (0..3).map(|seed| Tensor::new(Dtype::BF16, 9000, 2 * seed)).collect();
    let [base, a, b] = [0, 1, 2].map(|at| tensors[at].slice());
    let mut by_cpu = [10, 4000, 8999].map(|k| Selection::new(9000, k, 1 << 20));
    let mut by_lane = [10, 4000, 8999].map(|k| Selection::new(9000, k, 1 << 20));
    let mut step = |searches: &mut [Selection; 3], on_lane: bool| {
        let passes: Vec<&Pass> = searches.iter().filter_map(Selection::pass).collect();
        let [first, second, third]: [&Pass; 3] = passes.try_into().expect("searches of one length take as many passes");
        let difference = |theta| Source::Difference { base, theta };
        let sources = [(difference(a), vec![first, second]), (difference(b), vec![third])];
        let parts = if on_lane { lane.measure(&sources) } else { measure_sources(&sources, 0).map_err(GpuError::from) };
        for (search, part) in searches.iter_mut().zip(parts.expect(TAKEN)) {
            search.absorb(vec![part]).expect(TAKEN);
        }
    };
    step(&mut by_cpu, false);
    step(&mut by_lane, true);
    assert_eq!(by_lane.each_ref().map(Selection::trim), by_cpu.each_ref().map(Selection::trim));
    assert!(by_cpu.iter().all(|search| search.trim().is_some()), "one pass is enough for so few");

    let (large, small) = (Selection::new(1 << 20, 7, 1 << 20), Selection::new(9000, 7, 1 << 20));
    let [sample, scan] = [&large, &small].map(|search| search.pass().expect("a search that has not begun"));
    let spread = Source::Spread { base, experts: vec![a, b] };
    for (source, pass) in [(Source::Difference { base, theta: a }, sample), (spread, scan)] {
        let refused = lane.measure(&[(source, vec![pass])]).expect_err("nothing for devices");
        assert!(matches!(refused, GpuError::Unsupported { .. }), "{refused}");
    }
}

pub(super) fn elements_are_counted_in_intervals(lane: &mut Lane) {
    let some = [
        Buckets { low: 0x3c00_0000, shift: 16, intervals: 700 },
        Buckets { low: 0, shift: 20, intervals: 2048 },
        Buckets { low: 0x3f00_0000, shift: 3, intervals: 3000 },
        Buckets { low: 0x3f80_0000, shift: 31, intervals: 1 },
        Buckets { low: 5, shift: 0, intervals: 0 },
    ];
    for (dtype, length) in FLOATS.into_iter().flat_map(|dtype| [1, 300, 70_001].map(|length| (dtype, length))) {
        let (base, theta) = (Tensor::new(dtype, length, 1), Tensor::new(dtype, length, 2));
        let source = Source::Difference { base: base.slice(), theta: theta.slice() };
        let start = || some.iter().map(|buckets| vec![3; buckets.counts()]).collect::<Vec<Vec<u64>>>();
        let (mut cpu, mut gpu) = (start(), start());
        count_in_buckets(&source, &some, &mut cpu).expect(TAKEN);
        lane.count_in_buckets(&source, &some, &mut gpu).expect(TAKEN);
        assert_eq!(gpu, cpu, "{length} {dtype}");
        let short = lane.count_in_buckets(&source, &some, &mut gpu[1..]).expect_err("counts of other buckets");
        assert!(matches!(short, GpuError::Kernel(KernelError::CountMismatch { .. })), "{short}");
    }
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
        let whole = rows * row;
        for own in [0..whole, whole / 5..whole - whole / 9, whole - 1..whole, 0..0] {
            let piece = MaskedPiece { key, first: first + own.start as u64 };
            let expected = ranked(&base, &theta, row, own.clone(), &chances, piece).expect(TAKEN);
            let found = lane.ranked(&base, &theta, row, own.clone(), &chances, piece).expect(TAKEN);
            assert!(found == expected, "{own:?} of {rows} rows of {row} {dtype}");
        }
    }
    let tensor = Tensor::new(Dtype::F32, 8, 2);
    let piece = MaskedPiece { key, first: 0 };
    for (row, own) in [(3, 0..8), (0, 0..8), (4, 3..9)] {
        let cpu =
            ranked(&tensor.slice(), &tensor.slice(), row, own.clone(), &chances, piece).expect_err("no rows that are there");
        let gpu = lane.ranked(&tensor.slice(), &tensor.slice(), row, own, &chances, piece);
        assert_eq!(gpu, Err(GpuError::Kernel(cpu)), "rows of {row}");
    }
}
