//! What a dry run says of the bytes that are read, against what is read: every method of the table.

use crate::{
    MergeExecute, MergeSpec, MergeWorkload, dry_run,
    methods::METHODS,
    testing::{Tensor, context, write_adapter, write_checkpoint},
};
use braid_kernels::Dtype;
use braid_workload::{Advance, Execute, Workload};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

/// A model with a tensor of several tiles and a sample, small ones, a long row, and one that is copied. Experts are near the base.
fn model(root: &Path, name: &str, expert: u64, positive: bool) {
    let tensor = |name: &str, shape: &[u64], seed: u64| {
        let elements = shape.iter().product();
        let numbers = |seed| {
            let noise = Tensor::noise("", Dtype::F32, elements, seed);
            noise.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>()
        };
        let (base, own) = (numbers(seed), numbers(seed + 100 * expert));
        let scale = if expert == 0 { 0.0 } else { 0.01 };
        // never nothing, as a first guess at magnitudes has it
        let value = |(base, own): (&f32, &f32)| base + scale * (own + 0.000_5);
        let values: Vec<f32> = base.iter().zip(&own).map(value).map(|x| if positive { x.abs() } else { x }).collect();
        Tensor::f32(name, shape, values)
    };
    let ids = Tensor { dtype: Dtype::I64, shape: vec![1], bytes: vec![7; 8], ..Tensor::f32("position_ids", &[1], []) };
    let tensors = [
        tensor("model.embed_tokens.weight", &[512, 256], 1),
        tensor("model.layers.0.mlp.gate_proj.weight", &[96, 64], 2),
        tensor("model.layers.0.mlp.up_proj.weight", &[96, 64], 3),
        tensor("model.layers.0.mlp.down_proj.weight", &[64, 96], 4),
        tensor("model.norm.weight", &[64], 5),
        ids,
    ];
    write_checkpoint(&root.join(name), &json!({"num_hidden_layers": 1, "hidden_size": 64}), &tensors, 2);
}

fn adapter(root: &Path, name: &str, seed: u64) {
    let factor = |name: &str, shape: [u64; 2], seed| Tensor {
        shape: shape.to_vec(),
        ..Tensor::noise(name, Dtype::F32, shape.iter().product(), seed)
    };
    let module = "base_model.model.model.layers.0.mlp.up_proj";
    let tensors = [
        factor(&format!("{module}.lora_A.weight"), [4, 64], seed),
        factor(&format!("{module}.lora_B.weight"), [96, 4], seed + 1),
    ];
    let config =
        json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["up_proj"], "base_model_name_or_path": "base"});
    write_adapter(&root.join(name), &config, &tensors);
}

const THREE: &str = "models: [{model: a}, {model: b}, {model: c}]\nbase_model: base\n";
const ONE: &str = "models: [{model: a}]\nbase_model: base\n";

/// A recipe for every method, some with several.
fn recipes() -> Vec<String> {
    let with =
        |method: &str, parameters: &str, rest: &str| format!("merge_method: {method}\nparameters: {{{parameters}}}\n{rest}");
    let mut recipes = vec![
        with("linear", "weight: 1", "models: [{model: a}, {model: b}]\n"),
        with("passthrough", "", "models: [{model: a}]\n"),
        with("passthrough", "scale: 2", "models: [{model: a}]\n"),
        with("slerp", "t: 0.5", ONE),
        with("nearswap", "t: 0.001", ONE),
        with("arcee_fusion", "", ONE),
        with("nuslerp", "weight: 1", "models: [{model: a}, {model: b}]\n"),
        with("nuslerp", "weight: 1, nuslerp_flatten: false", "models: [{model: a}, {model: b}]\n"),
        with("nuslerp", "weight: 1, nuslerp_flatten: false, nuslerp_row_wise: true", "models: [{model: a}, {model: b}]\n"),
        with("multislerp", "weight: 1", THREE),
        with("karcher", "", THREE),
        with("model_stock", "", THREE),
        with("model_stock", "filter_wise: true", THREE),
        with("fisher", "", "models: [{model: a, fisher: fa}, {model: b, fisher: fb}]\n"),
        with("monna", "faulty: 1", THREE),
        with("weight_matching", "", ONE),
        with("lora_merge", "", "models: [{model: one}, {model: two}]\n"),
        with("lora_lego", "", "models: [{model: one}, {model: two}]\n"),
        with("lora_extract", "rank: 3", ONE),
    ];
    for density in ["1", "0.4"] {
        for method in
            ["task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear"]
        {
            for rescale in ["true", "false"] {
                recipes.push(with(method, &format!("weight: 1, density: {density}, rescale: {rescale}"), THREE));
            }
        }
        recipes.push(with("dare_published", &format!("density: {density}"), THREE));
        recipes.push(with("ties_published", &format!("density: {density}"), THREE));
        recipes.push(with("sce", &format!("select_topk: {density}"), THREE));
        recipes.push(with("sce_published", &format!("select_topk: {density}"), THREE));
    }
    recipes.extend(
        ["ram", "ramplus_tl", "varm", "widen", "pcb", "opcm", "tsvm", "tsvm_reweighted"].map(|method| with(method, "", THREE)),
    );
    let scaled = |method: &str, parameters: &str| with(method, parameters, &format!("{THREE}lines: {{alpha: 0.3, beta: 0.2}}\n"));
    recipes.extend([scaled("ties", "weight: 1, density: 0.4"), scaled("tsvm", ""), scaled("opcm", "")]);
    recipes
}

/// The bytes that the tasks of a merge say to have read.
fn read(spec: &Value) -> u64 {
    let (execute, context) = (MergeExecute::new(), context(2, 1 << 30));
    let mut tasks = MergeWorkload.plan(spec).unwrap().tasks;
    let (mut state, mut read) = (Value::Null, 0);
    while let Some(task) = tasks.pop() {
        let value = execute.run(spec, &task, &context).unwrap_or_else(|failure| panic!("{spec}: {failure:?}"));
        read += value.get("read").and_then(Value::as_u64).unwrap_or(0);
        match MergeWorkload.advance(spec, &state, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, state: next } => {
                tasks.extend(more);
                state = next.unwrap_or(state);
            }
            Advance::Finished(_) => break,
            Advance::Failed(failure) => panic!("{failure:?}"),
        }
    }
    read
}

#[test]
fn what_is_foretold_is_what_is_read() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    for (expert, name) in ["base", "a", "b", "c"].into_iter().enumerate() {
        model(root, name, expert as u64, false);
    }
    model(root, "fa", 4, true);
    model(root, "fb", 5, true);
    adapter(root, "one", 1);
    adapter(root, "two", 5);
    let mut seen = BTreeSet::new();
    for (index, recipe) in recipes().into_iter().enumerate() {
        let spec = MergeSpec {
            recipe: recipe.clone(),
            recipe_file: "recipe.yml".into(),
            directory: root.to_owned(),
            out: root.join(format!("out-{index}")),
            max_shard_size: 1 << 30,
            seed: 0,
            reuse: None,
        };
        let foretold = dry_run(&spec).unwrap_or_else(|error| panic!("{recipe}: {error}"));
        let found = read(&serde_json::to_value(&spec).unwrap());
        assert_eq!(foretold.summary.bytes_read, found, "{recipe}");
        assert!(foretold.memory > 0 && foretold.summary.bytes_out > 0, "{recipe}");
        seen.insert(foretold.summary.method);
    }
    let all: BTreeSet<&str> = METHODS.iter().map(|method| method.name()).collect();
    assert_eq!(seen, all, "a method without a recipe here");
}
