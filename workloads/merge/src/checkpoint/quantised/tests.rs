//! Quantised checkpoints through whole merges, against f64 arithmetic on the same files.

use crate::testing::{Tensor, merge, read_checkpoint, write_checkpoint};
use braid_kernels::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

const W: &str = "model.layers.0.mlp.up_proj.weight";

/// A matrix of codes without NaN.
fn codes(dtype: Dtype, shape: &[u64]) -> Tensor {
    let bytes = (0..shape.iter().product::<u64>()).map(|i| (i * 37 % 0x7b) as u8 | ((i % 2) as u8) << 7).collect();
    Tensor { name: W.into(), dtype, shape: shape.to_vec(), bytes }
}

/// The number that a code stands for, by the definition of its format.
fn number(dtype: Dtype, code: u8) -> f64 {
    let (mantissa, bias) = if dtype == Dtype::F8E4M3 { (3, 7) } else { (2, 15) };
    let (exponent, fraction) = (i32::from(code & 0x7f) >> mantissa, i32::from(code) & ((1 << mantissa) - 1));
    let fraction = f64::from(fraction) / f64::from(1 << mantissa);
    let magnitude = if exponent == 0 { fraction * 2f64.powi(1 - bias) } else { (1.0 + fraction) * 2f64.powi(exponent - bias) };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

fn scales(ending: &str, shape: &[u64]) -> Tensor {
    Tensor::f32(&format!("{W}{ending}"), shape, (0..shape.iter().product::<u64>()).map(|i| 0.013 + i as f32 / 77.0))
}

fn norm() -> Tensor {
    Tensor { name: "model.norm.weight".into(), ..Tensor::noise("", Dtype::BF16, 5, 1) }
}

fn config(quantization: Value) -> Value {
    json!({"num_hidden_layers": 1, "torch_dtype": "bfloat16", "quantization_config": quantization})
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype {
        Dtype::BF16 => tensor.bytes.as_chunks::<2>().0.iter().map(|two| half::bf16::from_le_bytes(*two).to_f64()).collect(),
        Dtype::F32 => tensor.bytes.as_chunks::<4>().0.iter().map(|four| f64::from(f32::from_le_bytes(*four))).collect(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn eight_bit_matrices_are_read_through_their_scales() {
    let blocks = json!({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [2, 3], "activation_scheme": "dynamic"});
    let groups = |weights: Value| json!({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights": weights}}});
    let float = groups(json!({"num_bits": 8, "type": "float", "strategy": "channel"}));
    let in_blocks = groups(json!({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [4, 4]}));
    type Case<'a> = (&'a str, Value, Dtype, Tensor, [u64; 2]);
    let cases: [Case<'_>; 7] = [
        ("deepseek", blocks, Dtype::F8E4M3, scales("_scale_inv", &[3, 3]), [2, 3]),
        ("channel", float.clone(), Dtype::F8E4M3, scales("_scale", &[5, 1]), [1, 7]),
        ("row", json!({"quant_method": "fbgemm_fp8"}), Dtype::F8E4M3, scales("_scale", &[5]), [1, 7]),
        ("tensor", float, Dtype::F8E5M2, scales("_scale", &[1]), [5, 7]),
        ("scalar", json!({"quant_method": "modelopt", "quant_algo": "FP8"}), Dtype::F8E4M3, scales("_scale", &[]), [5, 7]),
        ("blocks", in_blocks, Dtype::F8E5M2, scales("_scale", &[2, 2]), [4, 4]),
        ("without", Value::Null, Dtype::F8E4M3, scales("_scale", &[1, 1]), [5, 7]),
    ];
    for (name, quantization, dtype, scales, block) in cases {
        let house = tempfile::tempdir().unwrap();
        let root = house.path();
        let weight = codes(dtype, &[5, 7]);
        let input = Tensor::f32("model.layers.0.mlp.up_proj.input_scale", &[1], [1.0]);
        write_checkpoint(&root.join("eight"), &config(quantization), &[weight.clone(), scales.clone(), input, norm()], 2);
        merge(root, "merge_method: passthrough\nmodels: [{model: eight}]\n", "out", 2).unwrap();
        let (out, list) = (read_checkpoint(&root.join("out")), floats(&scales));
        let names: Vec<&str> = out.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, [W, "model.norm.weight"], "{name}");
        assert_eq!(out[0].dtype, Dtype::BF16, "{name}");
        let expected = |i: usize| {
            let (row, col) = (i as u64 / 7 / block[0], i as u64 % 7 / block[1]);
            number(dtype, weight.bytes[i]) * list[(row * 7u64.div_ceil(block[1]) + col) as usize]
        };
        for (i, found) in floats(&out[0]).into_iter().enumerate() {
            assert!((found - expected(i)).abs() <= expected(i).abs() / 256.0, "{name}: {found} for {}", expected(i));
        }
        let written: Value = serde_json::from_slice(&std::fs::read(root.join("out/config.json")).unwrap()).unwrap();
        assert_eq!(written, json!({"num_hidden_layers": 1, "torch_dtype": "bfloat16"}));

        // with another model, unrounded until the end
        let plain = Tensor { name: W.into(), shape: vec![5, 7], ..Tensor::noise("", Dtype::F32, 35, 9) };
        write_checkpoint(&root.join("plain"), &json!({}), &[plain.clone(), norm()], 1);
        let recipe = "merge_method: linear\ndtype: float32\nmodels: [{model: plain, parameters: {weight: 1}}, {model: eight, parameters: {weight: 3}}]\n";
        merge(root, recipe, "mean", 1).unwrap();
        for (i, (found, plain)) in floats(&read_checkpoint(&root.join("mean"))[0]).into_iter().zip(floats(&plain)).enumerate() {
            let mean = (plain + 3.0 * expected(i)) / 4.0;
            assert!((found - mean).abs() < 1e-5 * (1.0 + expected(i).abs()), "{name}: {found} for {mean}");
        }
    }
}

fn refusal(config: &Value, tensors: &[Tensor]) -> String {
    let house: TempDir = tempfile::tempdir().unwrap();
    write_checkpoint(&house.path().join("model"), config, tensors, 1);
    let failure = merge(house.path(), "merge_method: passthrough\nmodels: [{model: model}]\n", "out", 1).unwrap_err();
    assert!(failure.hint.is_some_and(|hint| hint.contains("quantise the result")), "{}", failure.message);
    assert!(!house.path().join("out").exists());
    failure.message
}

#[test]
fn what_else_is_quantised_is_refused_by_name() {
    let named = |name: &str, dtype: Dtype| Tensor { name: name.into(), shape: vec![2, 2], ..Tensor::noise("", dtype, 4, 1) };
    for (quantization, expected) in [
        (json!({"quant_method": "gptq", "bits": 4}), "is quantised by gptq (4 bits); of quantised checkpoints only"),
        (json!({"quant_method": "awq", "w_bit": 4}), "is quantised by awq (4 bits)"),
        (json!({"load_in_4bit": true}), "is quantised by bitsandbytes"),
        (json!({"quant_method": "mxfp4"}), "is quantised by mxfp4"),
        (json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}), "is quantised by modelopt (NVFP4)"),
        (
            json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}}),
            "is quantised by compressed-tensors (int, 4 bits)",
        ),
        (
            json!({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}),
            "is compressed (sparse-24-bitmask)",
        ),
        (json!({"quant_method": "fp8", "weight_block_size": [0, 128]}), "is quantised in blocks whose size is not two numbers"),
        (json!({"bits": 4}), "names no `quant_method`"),
        (json!(4), "has a `quantization_config` that is no object"),
    ] {
        assert!(refusal(&config(quantization.clone()), &[norm()]).contains(expected), "{quantization}");
    }
    let nested = json!({"text_config": {"quantization_config": {"quant_method": "hqq"}}});
    assert!(refusal(&nested, &[norm()]).contains("is quantised by hqq"));
    for (tensor, expected) in [
        (named("a.qweight", Dtype::I32), "it has the tensor \"a.qweight\", which is of GPTQ or AWQ"),
        (named("a.weight.absmax", Dtype::F32), "which is of bitsandbytes"),
        (named("mlp.experts.gate_up_proj_blocks", Dtype::U8), "which is of MXFP4"),
        (named("a.weight", Dtype::I8), "\"a.weight\" is a matrix of I8, whose meaning is not known here"),
        (
            named("a.weight", Dtype::F8E5M2),
            "\"a.weight\" is F8_E5M2, and there are no scales a.weight_scale_inv or a.weight_scale",
        ),
    ] {
        assert!(refusal(&json!({}), std::slice::from_ref(&tensor)).contains(expected), "{}", tensor.name);
    }
}

#[test]
fn scales_that_do_not_fit_are_refused() {
    let blocks = || config(json!({"quant_method": "fp8", "weight_block_size": [2, 3]}));
    let cube = Tensor { shape: vec![5, 7, 1], ..codes(Dtype::F8E4M3, &[5, 7]) };
    let whole = Tensor { dtype: Dtype::I32, ..scales("_scale", &[1]) };
    for (weight, scales, expected) in [
        (codes(Dtype::F8E4M3, &[5, 7]), vec![scales("_scale_inv", &[3, 2])], "of shape [3, 2] do not fit"),
        (codes(Dtype::F8E4M3, &[5, 7]), vec![scales("_scale", &[7])], "of shape [7] do not fit"),
        (codes(Dtype::F8E4M3, &[5, 7]), vec![scales("_scale", &[1]), scales("_scale_inv", &[1])], "has both"),
        (cube, vec![scales("_scale", &[1])], "of shape [5, 7, 1], and only matrices are read"),
        (codes(Dtype::F8E4M3, &[5, 7]), vec![whole], "are I32, not floats"),
    ] {
        let tensors: Vec<Tensor> = std::iter::once(weight).chain(scales).collect();
        assert!(refusal(&blocks(), &tensors).contains(expected), "{expected}");
    }
}

#[test]
fn a_code_that_is_no_number_is_told_with_its_place() {
    let house = tempfile::tempdir().unwrap();
    let mut weight = codes(Dtype::F8E4M3, &[5, 7]);
    weight.bytes[12] = 0x7f;
    write_checkpoint(&house.path().join("model"), &config(Value::Null), &[weight, scales("_scale", &[1])], 1);
    let failure = merge(house.path(), "merge_method: passthrough\nmodels: [{model: model}]\n", "out", 1).unwrap_err();
    assert!(
        failure.message.contains("element 12 of the result is not a number: model model holds NaN there"),
        "{}",
        failure.message
    );
}
