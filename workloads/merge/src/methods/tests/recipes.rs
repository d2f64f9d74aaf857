//! Papers that are recipes of several methods or modules: the examples and what docs/merge.md says of them.

use super::numbers;
use crate::{
    MergeExecute, MergeSpec,
    testing::{Tensor, context, drive, merge, read_checkpoint, write_checkpoint},
};
use braid_kernels::Dtype;
use serde_json::json;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn tensor<'a>(tensors: &'a [Tensor], name: &str) -> &'a Tensor {
    tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Runs a recipe of the repository, from its root as the recipe says.
fn example(recipe: &str, out: &Path) -> Vec<Tensor> {
    let spec = MergeSpec {
        recipe: std::fs::read_to_string(repository().join(recipe)).unwrap(),
        recipe_file: recipe.into(),
        directory: repository(),
        out: out.to_owned(),
        max_shard_size: 1 << 30,
        seed: 0,
        reuse: None,
    };
    drive(&MergeExecute::new(), &serde_json::to_value(spec).unwrap(), &context(2, 256 << 20))
        .unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
    read_checkpoint(out)
}

#[test]
fn layers_are_swapped() {
    let scratch = tempfile::tempdir().unwrap();
    let found = example("examples/layer_swapping.yml", &scratch.path().join("out"));
    let of = |name: &str| read_checkpoint(&repository().join("examples/experts").join(name));
    let (german, python) = (of("german"), of("python"));
    let float = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect()
    };
    for found in &found {
        let (a, b) = (tensor(&german, &found.name), tensor(&python, &found.name));
        match found.name.as_str() {
            name if name.starts_with("model.layers.1.") => {
                for ((found, a), b) in float(&found.bytes).iter().zip(float(&a.bytes)).zip(float(&b.bytes)) {
                    assert!((found - (a + b) / 2.0).abs() <= 0.005 * found.abs(), "{name}: {found} of {a} and {b}");
                }
            }
            name if name.starts_with("model.layers.2.") => assert!(found.bytes == b.bytes, "{name}"),
            name => assert!(found.bytes == a.bytes, "{name}"),
        }
    }
    assert_eq!(found.len(), german.len());
}

#[test]
fn the_examples_of_papers_run() {
    let scratch = tempfile::tempdir().unwrap();
    let base = read_checkpoint(&repository().join("examples/experts/base"));
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("examples/papers")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let found = example(&format!("examples/papers/{name}"), &scratch.path().join(&name));
        assert_eq!(found.len(), base.len(), "{name}");
        assert!(found.iter().zip(&base).any(|(found, base)| found.bytes != base.bytes), "{name} gives back the base");
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn the_language_models_of_two_vision_language_checkpoints_are_mixed() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    let names = ["model.layers.0.mlp.up_proj.weight", "vision_tower.layers.0.w", "multi_modal_projector.linear.weight"];
    for (name, seed) in [("real", 1), ("synthetic", 20)] {
        let tensors: Vec<_> = names.iter().map(|name| Tensor::noise(name, Dtype::F32, 12, seed)).collect();
        write_checkpoint(&root.join(name), &json!({}), &tensors, 1);
    }
    let recipe = "merge_method: linear
modules:
  text_decoder:
    models: [{model: real, parameters: {weight: 0.7}}, {model: synthetic, parameters: {weight: 0.3}}]
  vision_tower: {models: [{model: real, parameters: {weight: 1}}]}
  multi_modal_projector: {models: [{model: real, parameters: {weight: 1}}]}
";
    merge(root, recipe, "out", 2).unwrap();
    let [found, real, synthetic] = ["out", "real", "synthetic"].map(|folder| read_checkpoint(&root.join(folder)));
    for name in &names[1..] {
        assert_eq!(tensor(&found, name), tensor(&real, name));
    }
    let values = |tensors: &[Tensor]| numbers(&tensor(tensors, names[0]).bytes);
    for ((found, real), synthetic) in values(&found).iter().zip(values(&real)).zip(values(&synthetic)) {
        assert!((found - (0.7 * real + 0.3 * synthetic)).abs() < 1e-6);
    }
}

/// A shared expert, the exclusive part of each expert at full rank, and the shared one with constant weights of these: with weights
/// (1, 0) it is the first expert again.
#[test]
fn twins_are_merged_from_a_shared_and_exclusive_parts() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    for (name, seed) in [("base", 1), ("a", 20), ("b", 40)] {
        let matrix = Tensor::noise("model.layers.0.mlp.up_proj.weight", Dtype::F32, 48, seed);
        let matrix = Tensor { shape: vec![8, 6], ..matrix };
        write_checkpoint(&root.join(name), &json!({"hidden_size": 6}), &[matrix], 1);
    }
    let shared =
        "{merge_method: task_arithmetic, base_model: base, models: [{model: a}, {model: b}], parameters: {weight: 0.29}}";
    merge(root, shared, "shared", 2).unwrap();
    for expert in ["a", "b"] {
        let extract =
            format!("{{merge_method: lora_extract, base_model: shared, models: [{{model: {expert}}}], parameters: {{rank: 6}}}}");
        merge(root, &extract, &format!("part-{expert}"), 2).unwrap();
    }
    for (weights, expert) in [((1, 0), "a"), ((0, 1), "b")] {
        let recipe = format!(
            "{{merge_method: linear, models: [{{model: shared+part-a, parameters: {{weight: {}}}}}, {{model: shared+part-b, parameters: {{weight: {}}}}}]}}",
            weights.0, weights.1
        );
        let out = format!("out-{expert}");
        merge(root, &recipe, &out, 2).unwrap();
        let [found, expected] = [out.as_str(), expert].map(|folder| numbers(&read_checkpoint(&root.join(folder))[0].bytes));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
        }
    }
}

/// Experts that changed rows of their own are fused to the bit, and one is switched for another by leaving it out.
#[test]
fn experts_of_disjoint_rows_are_fused_and_switched() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    let tensor = |rows: std::ops::Range<usize>, seed| {
        let [mut base, own] = [1, seed].map(|seed| Tensor::noise("layers.0.mlp.down_proj.weight", Dtype::BF16, 48, seed));
        base.shape = vec![8, 6];
        let bytes = rows.start * 12..rows.end * 12;
        base.bytes[bytes.clone()].copy_from_slice(&own.bytes[bytes]);
        base
    };
    let [base, a, b, c] = [tensor(0..0, 1), tensor(0..2, 20), tensor(2..5, 40), tensor(4..8, 60)];
    for (name, tensor) in [("base", &base), ("a", &a), ("b", &b), ("c", &c)] {
        write_checkpoint(&root.join(name), &json!({}), std::slice::from_ref(tensor), 1);
    }
    for (others, other, rows) in [("a, b", &b, 2..5), ("a, c", &c, 4..8)] {
        let models = others.split(", ").map(|name| format!("{{model: {name}}}")).collect::<Vec<_>>().join(", ");
        let recipe =
            format!("{{merge_method: task_arithmetic, base_model: base, models: [{models}], parameters: {{weight: 1}}}}");
        merge(root, &recipe, others, 2).unwrap();
        let mut expected = base.bytes.clone();
        expected[..24].copy_from_slice(&a.bytes[..24]);
        expected[rows.start * 12..rows.end * 12].copy_from_slice(&other.bytes[rows.start * 12..rows.end * 12]);
        assert_eq!(read_checkpoint(&root.join(others))[0].bytes, expected, "{others}");
    }
}
