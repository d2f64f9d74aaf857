use super::*;
use crate::testing::{Tensor, context, merge_tensor};
use braid_kernels::linear;
use proptest::prelude::*;

fn mean(tiles: &Tiles<'_>) -> Result<(), MergeError> {
    let weights = vec![1.0; tiles.inputs().len()];
    tiles.write(|tile, mut out| linear(tile.inputs, &weights, weights.len() as f32, &mut out))
}

/// The mean after a pass that counts the elements, tile by tile.
fn measured_mean(tiles: &Tiles<'_>) -> Result<(), MergeError> {
    let counts = tiles.measure(|tile| Ok((tile.index, tile.first, tile.inputs[0].len())))?;
    let mut next = 0;
    for (index, (of, first, elements)) in counts.into_iter().enumerate() {
        assert_eq!((of, first), (index, next), "results come in the order of the tiles");
        next += elements as u64;
    }
    assert_eq!(next, tiles.elements());
    mean(tiles)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn bytes_and_digests_do_not_depend_on_threads_memory_or_passes(
        granules in 0u64..5,
        rest in 0u64..(GRANULE as u64),
        dtypes in proptest::collection::vec(prop::sample::select(vec![Dtype::F32, Dtype::BF16, Dtype::F16, Dtype::F64]), 1..4),
        threads in 1usize..5,
        memory in prop::sample::select(vec![0u64, 3 << 20, 1 << 30]),
        seed: u64,
    ) {
        let elements = granules * GRANULE as u64 + rest;
        let inputs: Vec<_> = dtypes.iter().zip(seed..).map(|(&dtype, seed)| Tensor::noise("w", dtype, elements, seed)).collect();
        let reference = merge_tensor(&inputs, Dtype::BF16, &context(1, 1 << 30), mean).unwrap();
        prop_assert_eq!(&reference.1.output, &blake3::hash(&reference.0));
        for (digest, input) in reference.1.inputs.iter().zip(&inputs) {
            prop_assert_eq!(digest, &blake3::hash(&input.bytes));
        }
        let other = merge_tensor(&inputs, Dtype::BF16, &context(threads, memory), measured_mean).unwrap();
        prop_assert_eq!(reference, other);
    }
}

#[test]
fn a_copy_is_the_input_and_has_its_digest() {
    let inputs = [Tensor::noise("w", Dtype::I64, 10, 1), Tensor::noise("w", Dtype::U8, 10, 2)];
    let (bytes, digests) = merge_tensor(&inputs, Dtype::U8, &context(2, 1 << 20), |tiles| tiles.copy(1)).unwrap();
    assert_eq!(bytes, inputs[1].bytes);
    assert_eq!((digests.output, digests.inputs[0]), (digests.inputs[1], blake3::hash(&inputs[0].bytes)));
    let wrong =
        |input| merge_tensor(&inputs, Dtype::U8, &context(2, 1 << 20), |tiles| tiles.copy(input)).unwrap_err().to_string();
    assert!(wrong(0).contains("input 0 of tensor \"w\" cannot be copied"));
    assert!(wrong(2).contains("input 2 of tensor \"w\" cannot be copied"));
}

#[test]
fn the_first_value_that_is_no_number_is_named_with_its_model() {
    let n = 5 * GRANULE;
    let mut values = vec![1.0f32; n];
    let good = Tensor::f32("w", &[n as u64], values.clone());
    (values[4 * GRANULE + 3], values[2 * GRANULE + 7]) = (f32::NAN, f32::NAN);
    let bad = Tensor::f32("w", &[n as u64], values);
    for threads in [1, 2, 4] {
        let error = merge_tensor(&[good.clone(), bad.clone()], Dtype::F32, &context(threads, 0), mean).unwrap_err();
        let expected = "tensor \"w\": element 131079 of the result is not a number: model m1 holds NaN there";
        assert_eq!(error.to_string(), expected);
    }
    let opposite = |sign: f32| Tensor::f32("w", &[2], [0.0, sign * f32::INFINITY]);
    let error = merge_tensor(&[opposite(1.0), opposite(-1.0)], Dtype::F32, &context(1, 0), mean).unwrap_err();
    assert!(error.to_string().contains("element 1 of the result is not a number: no model holds NaN there"), "{error}");
}

#[test]
fn what_stops_a_pass_is_told() {
    let tensor = Tensor::noise("w", Dtype::F32, 3 * GRANULE as u64, 1);
    let stopped = context(2, 0);
    stopped.cancel.cancel();
    let error = |inputs: &[Tensor], context: &TaskContext, method: fn(&Tiles<'_>) -> Result<(), MergeError>| {
        merge_tensor(inputs, Dtype::F32, context, method).unwrap_err().to_string()
    };
    assert_eq!(error(std::slice::from_ref(&tensor), &stopped, mean), "cancelled");
    let short = Tensor { bytes: tensor.bytes[..tensor.bytes.len() - 5].to_vec(), ..tensor.clone() };
    let text = error(&[tensor.clone(), short], &context(2, 0), mean);
    assert!(text.contains("/m1: expected 262144 bytes at offset 524312, but the file ends after 262139 of them"), "{text}");
    let one = std::slice::from_ref(&tensor);
    assert!(error(one, &context(2, 0), |_| Ok(())).contains("the method wrote nothing for tensor \"w\""));
    assert!(error(one, &context(2, 0), |tiles| mean(tiles).and_then(|()| mean(tiles))).contains("wrote tensor \"w\" twice"));
}

#[test]
fn progress_counts_each_byte_once_however_many_passes() {
    let context = context(2, 0);
    let inputs = [Tensor::noise("w", Dtype::BF16, 70_000, 1), Tensor::noise("w", Dtype::F32, 70_000, 2)];
    merge_tensor(&inputs, Dtype::BF16, &context, measured_mean).unwrap();
    assert_eq!(context.progress.done(), 70_000 * (2 + 4 + 2));
}

#[test]
fn tiles_fit_cache_and_memory_but_hold_a_granule() {
    for (bytes, threads, memory, expected) in [
        (2, 1, 1 << 30, MAX_TILE),
        (8, 2, 1 << 30, 1 << 17),
        (16, 2, 1 << 30, GRANULE),
        (8, 2, 1 << 20, GRANULE),
        (1 << 40, 64, 0, GRANULE),
    ] {
        assert_eq!(tile_elements(bytes, threads, memory), expected, "{bytes} {threads} {memory}");
    }
}
