//! However a tensor is cut into tiles, the bytes that come out are the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test has no callers")]

mod common;

use braid_kernels::{
    Combine, Dtype, GRANULE, Keep, Mask, MaskKey, Selection, Slice, TaskVector, dots, kept, l1, linear, scale,
    slerp_coefficients, task_vectors,
};
use common::{FLOATS, Tensor};
use proptest::prelude::*;

/// A whole merge by trimming, masks or neither, with all its passes, over tiles that begin at `cuts`.
fn merge(base: &Tensor, experts: &[Tensor], cuts: &[usize], keep: &str, out_dtype: Dtype) -> Vec<u8> {
    let numel = base.slice().len();
    let tiles: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
    let part = |tensor: &'_ Tensor, tile: usize| tensor.slice().part(tiles[tile].clone()).unwrap().bytes().to_vec();
    let cut: Vec<Vec<Vec<u8>>> =
        std::iter::once(base).chain(experts).map(|tensor| (0..tiles.len()).map(|tile| part(tensor, tile)).collect()).collect();
    let slice = |model: usize, tile: usize| Slice::new(base.dtype, &cut[model][tile]).unwrap();
    let mask = |model: usize| Mask::new(MaskKey::new(9, model as u32, "w"), 0.4);

    let mut trims = Vec::new();
    for model in 1..cut.len() {
        let mut selection = Selection::new(numel as u64, kept(0.3, numel as u64), 1 << 20);
        while let Some(pass) = selection.pass() {
            let parts = (0..tiles.len()).map(|t| pass.measure(&slice(0, t), &slice(model, t), tiles[t].start as u64).unwrap());
            let parts = parts.collect();
            selection.absorb(parts).unwrap();
        }
        trims.push(selection.trim().unwrap().clone());
    }
    let mut out = Tensor::empty(out_dtype, numel);
    for (tile, range) in tiles.iter().enumerate() {
        let terms: Vec<TaskVector<'_>> = (1..cut.len())
            .map(|model| TaskVector {
                theta: slice(model, tile),
                weight: 0.7,
                scale: 1.0,
                keep: match keep {
                    "trim" => trims[model - 1].keep(tile),
                    "mask" => Keep::Bernoulli { mask: mask(model), first: range.start as u64 },
                    _ => Keep::All,
                },
            })
            .collect();
        let combine = Combine { elect_sign: true, normalize: true, lambda: 1.0 };
        task_vectors(&slice(0, tile), &terms, &combine, &mut out.slice_mut().part_mut(range.clone()).unwrap()).unwrap();
    }
    out.bytes
}

fn cuts(numel: usize, inner: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = inner.iter().map(|index| index.index(numel + 1)).chain([0, numel]).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_merge_does_not_depend_on_tiles(
        numel in prop_oneof![0usize..3000, GRANULE - 2..GRANULE + 3],
        inner in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        dtype in prop::sample::select(FLOATS.to_vec()),
        out_dtype in prop::sample::select(FLOATS.to_vec()),
        keep in prop::sample::select(vec!["all", "trim", "mask"]),
    ) {
        let base = Tensor::model(dtype, numel, 0);
        let experts = [1, 2].map(|model| Tensor::model(dtype, numel, model));
        let whole = merge(&base, &experts, &[0, numel], keep, out_dtype);
        prop_assert!(whole == merge(&base, &experts, &cuts(numel, &inner), keep, out_dtype));
    }

    #[test]
    fn sums_and_copies_do_not_depend_on_tiles(
        numel in 0usize..3000,
        inner in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        dtype in prop::sample::select(FLOATS.to_vec()),
    ) {
        let inputs = [1, 2].map(|model| Tensor::model(dtype, numel, model));
        let mut whole = [Tensor::empty(dtype, numel), Tensor::empty(dtype, numel)];
        let mut tiled = whole.clone();
        let slices = inputs.each_ref().map(Tensor::slice);
        linear(&slices, &[0.3, 0.6], 0.9, &mut whole[0].slice_mut()).unwrap();
        scale(&slices[0], 0.3, &mut whole[1].slice_mut()).unwrap();
        for cut in cuts(numel, &inner).windows(2) {
            let range = cut[0]..cut[1];
            let parts = slices.map(|slice| slice.part(range.clone()).unwrap());
            let [sum, scaled] = &mut tiled;
            linear(&parts, &[0.3, 0.6], 0.9, &mut sum.slice_mut().part_mut(range.clone()).unwrap()).unwrap();
            scale(&parts[0], 0.3, &mut scaled.slice_mut().part_mut(range.clone()).unwrap()).unwrap();
        }
        prop_assert!(whole[0].bytes == tiled[0].bytes && whole[1].bytes == tiled[1].bytes);
    }
}

#[test]
fn statistics_do_not_depend_on_tiles_of_whole_granules() {
    let numel = 5 * GRANULE + 77;
    for dtype in FLOATS {
        let [a, b] = [0, 1].map(|model| Tensor::model(dtype, numel, model));
        let keep = |first: usize| Keep::Bernoulli { mask: Mask::new(MaskKey::new(1, 1, "w"), 0.5), first: first as u64 };
        let (products, norms) = (dots(&a.slice(), &b.slice()).unwrap(), l1(&a.slice(), &b.slice(), keep(0)).unwrap());
        let (mut tiled_products, mut tiled_norms) = (Vec::new(), Vec::new());
        for cut in [0, 1, 3, 4].map(|granule| granule * GRANULE).into_iter().chain([numel]).collect::<Vec<_>>().windows(2) {
            let [a, b] = [&a, &b].map(|tensor| tensor.slice().part(cut[0]..cut[1]).unwrap());
            tiled_products.extend(dots(&a, &b).unwrap());
            tiled_norms.extend(l1(&a, &b, keep(cut[0])).unwrap());
        }
        assert_eq!(products, tiled_products);
        assert_eq!(norms, tiled_norms);
    }
}

/// Spherical interpolation from its statistic to its output, against the formula in f64.
#[test]
fn slerp_is_a_sum_with_coefficients_of_the_dots() {
    let numel = GRANULE + 5;
    let a = Tensor::model(Dtype::F32, numel, 1);
    let b = Tensor::of(Dtype::F32, &(0..numel).map(|j| if j % 3 == 0 { 0.02 } else { -0.01 }).collect::<Vec<_>>());
    let (x, y) = (a.values(), b.values());
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let angle = (dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()).acos();
    for t in [0.0, 0.25, 0.5, 1.0] {
        let (s, r) = slerp_coefficients(&dots(&a.slice(), &b.slice()).unwrap().into_iter().sum(), t);
        let mut out = Tensor::empty(Dtype::F32, numel);
        linear(&[a.slice(), b.slice()], &[s, r], 1.0, &mut out.slice_mut()).unwrap();
        let (left, right) = (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin());
        let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| left * x + right * y).collect();
        common::assert_close(&out, &expected, t);
    }
}
