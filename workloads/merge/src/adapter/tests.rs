//! Adapters on their bases, through whole merges, against f64 arithmetic on the same files.

use crate::{
    checkpoint::torch_file,
    testing::{Tensor, merge, read_checkpoint, write_adapter, write_checkpoint},
};
use braid_kernels::Dtype;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const Q: &str = "model.layers.0.self_attn.q_proj";
const EMBED: &str = "model.embed_tokens";

fn shaped(name: &str, shape: &[u64], seed: u64) -> Tensor {
    let noise = Tensor::noise(name, Dtype::F32, shape.iter().product(), seed);
    Tensor { shape: shape.to_vec(), ..noise }
}

fn base() -> Vec<Tensor> {
    vec![
        shaped(&format!("{EMBED}.weight"), &[9, 6], 1),
        shaped(&format!("{Q}.weight"), &[8, 6], 2),
        shaped("lm_head.weight", &[9, 6], 3),
    ]
}

fn adapter(seed: u64) -> Vec<Tensor> {
    vec![
        shaped(&format!("base_model.model.{Q}.lora_A.weight"), &[2, 6], seed),
        shaped(&format!("base_model.model.{Q}.lora_B.weight"), &[8, 2], seed + 1),
        shaped(&format!("base_model.model.{EMBED}.lora_embedding_A"), &[2, 9], seed + 2),
        shaped(&format!("base_model.model.{EMBED}.lora_embedding_B"), &[6, 2], seed + 3),
        shaped("base_model.model.lm_head.weight", &[9, 6], seed + 4),
    ]
}

fn config() -> Value {
    json!({"peft_type": "LORA", "r": 2, "lora_alpha": 3, "base_model_name_or_path": "base"})
}

fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    write_checkpoint(&house.path().join("base"), &json!({"num_hidden_layers": 1}), &base(), 1);
    for (name, seed) in [("one", 10), ("two", 20)] {
        write_adapter(&house.path().join(name), &config(), &adapter(seed));
    }
    house
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
}

fn read(root: &Path, out: &str, name: &str) -> Tensor {
    read_checkpoint(&root.join(out)).into_iter().find(|tensor| tensor.name == name).unwrap()
}

fn assert_close(found: &Tensor, expected: &[f64]) {
    for (found, expected) in values(found).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
}

/// `base + scale · product`, where `(row, k)` of the first and `(k, col)` of the second factor are at the places that `at` says.
fn folded(base: &Tensor, [first, second]: [&Tensor; 2], at: impl Fn(usize, usize, usize) -> (usize, usize)) -> Vec<f64> {
    let (first, second, cols) = (values(first), values(second), base.shape[1] as usize);
    let term = |i: usize, k: usize| {
        let (a, b) = at(i / cols, i % cols, k);
        first[a] * second[b]
    };
    values(base).iter().enumerate().map(|(i, base)| base + 1.5 * (term(i, 0) + term(i, 1))).collect()
}

#[test]
fn a_model_with_an_adapter_is_read_as_the_folded_checkpoint() {
    let house = house();
    let root = house.path();
    merge(root, "merge_method: passthrough\nmodels: [{model: base+one}]\n", "folded", 2).unwrap();
    let (base, one) = (base(), adapter(10));
    let q = folded(&base[1], [&one[1], &one[0]], |row, col, k| (row * 2 + k, k * 6 + col));
    assert_close(&read(root, "folded", &base[1].name), &q);
    let embed = folded(&base[0], [&one[2], &one[3]], |row, col, k| (k * 9 + row, col * 2 + k));
    assert_close(&read(root, "folded", &base[0].name), &embed);
    assert_eq!(read(root, "folded", "lm_head.weight").bytes, one[4].bytes, "a module that was saved whole");
    let manifest: Value = serde_json::from_slice(&std::fs::read(root.join("folded/braid.json")).unwrap()).unwrap();
    assert_eq!(manifest["models"], json!(["base+one"]));
}

#[test]
fn merging_models_with_adapters_is_merging_the_folded_models() {
    let house = house();
    let root = house.path();
    for name in ["one", "two"] {
        let mapping = format!("merge_method: passthrough\nmodels: [{{model: {{model: base, lora: {name}}}}}]\n");
        merge(root, &mapping, &format!("base-{name}"), 1).unwrap();
    }
    let recipe = |first: &str, second: &str, method: &str| {
        format!(
            "merge_method: {method}\nbase_model: base\nmodels:\n- {{model: {first}, parameters: {{weight: 0.7, density: 0.5}}}}\n\
             - {{model: {second}, parameters: {{weight: 0.5, density: 0.6}}}}\n"
        )
    };
    for method in ["task_arithmetic", "ties", "dare_ties"] {
        merge(root, &recipe("base+one", "base+two", method), &format!("{method}-fly"), 3).unwrap();
        merge(root, &recipe("base-one", "base-two", method), &format!("{method}-disk"), 1).unwrap();
        assert_eq!(read_checkpoint(&root.join(format!("{method}-fly"))), read_checkpoint(&root.join(format!("{method}-disk"))));
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_by_name() {
    let house = house();
    let root = house.path();
    let try_with = |config: Value, tensors: &[Tensor]| {
        write_adapter(&root.join("bad"), &config, tensors);
        let failure = merge(root, "merge_method: passthrough\nmodels: [{model: base+bad}]\n", "out", 1).unwrap_err();
        assert!(!root.join("out").exists() && !root.join(".out.braid").exists());
        failure.message
    };
    let one = adapter(10);
    let named = |name: &str, tensor: &Tensor| Tensor { name: name.into(), ..tensor.clone() };
    let elsewhere = [named("x.lora_A.weight", &one[0]), named("x.lora_B.weight", &one[1])];
    for (config, tensors, expected) in [
        (json!({"peft_type": "LOHA"}), &one[..], "is an adapter of the kind LOHA; only LORA can be merged"),
        (config(), &elsewhere, "adapts \"x\", but base"),
        (config(), &[shaped("lm_head.weight", &[8, 6], 1)], "replaces \"lm_head.weight\" [9, 6]"),
        (config(), &[shaped("other.weight", &[8, 6], 1)], "replaces \"other.weight\", which base"),
        (
            config(),
            &[shaped(&format!("{Q}.lora_A.weight"), &[2, 5], 1), shaped(&format!("{Q}.lora_B.weight"), &[8, 2], 1)],
            "changes \"model.layers.0.self_attn.q_proj.weight\" by a 8×5 matrix",
        ),
    ] {
        let message = try_with(config, tensors);
        assert!(message.contains(expected), "{message}");
    }
    let mut nan = adapter(10);
    nan[0].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    write_adapter(&root.join("bad"), &config(), &nan);
    let failure = merge(root, "merge_method: passthrough\nmodels: [{model: base+bad}]\n", "out", 1).unwrap_err();
    assert!(failure.message.contains("is not a number: model base+bad holds NaN there"), "{}", failure.message);
    std::fs::remove_file(root.join("bad/adapter_model.safetensors")).unwrap();
    std::fs::write(root.join("bad/adapter_model.bin"), "").unwrap();
    let failure = merge(root, "merge_method: passthrough\nmodels: [{model: base+bad}]\n", "out2", 1).unwrap_err();
    assert!(failure.message.contains("bad/adapter_model.bin: is no file of torch.save"), "{}", failure.message);
    std::fs::write(root.join("bad/adapter_model.bin"), torch_file(&adapter(10))).unwrap();
    merge(root, "merge_method: passthrough\nmodels: [{model: base+bad}]\n", "bin", 1).unwrap();
    merge(root, "merge_method: passthrough\nmodels: [{model: base+one}]\n", "safe", 1).unwrap();
    assert_eq!(read_checkpoint(&root.join("bin")), read_checkpoint(&root.join("safe")));
    let failure = merge(root, "merge_method: passthrough\nmodels: [{model: base+gone}]\n", "out3", 1).unwrap_err();
    assert!(failure.message.contains("gone"), "{}", failure.message);
    let failure = merge(root, "merge_method: passthrough\nmodels: [{model: one}]\n", "out4", 1).unwrap_err();
    assert!(failure.message.contains("has no config.json"), "{}", failure.message);
}
