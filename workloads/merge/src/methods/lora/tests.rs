//! Adapters made by whole merges, against f64 arithmetic and against the models that they stand for.

use crate::testing::{Tensor, merge, read_checkpoint, write_adapter, write_checkpoint};
use braid_kernels::Dtype;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

const Q: &str = "model.layers.0.self_attn.q_proj";
const UP: &str = "model.layers.0.mlp.up_proj";

fn shaped(name: &str, shape: &[u64], seed: u64) -> Tensor {
    let noise = Tensor::noise(name, Dtype::F32, shape.iter().product(), seed);
    Tensor { shape: shape.to_vec(), ..noise }
}

fn model(seed: u64) -> Vec<Tensor> {
    vec![
        shaped("model.embed_tokens.weight", &[20, 12], seed),
        shaped(&format!("{Q}.weight"), &[16, 12], seed + 1),
        shaped(&format!("{UP}.weight"), &[24, 12], seed + 2),
        shaped("model.norm.weight", &[12], seed + 3),
    ]
}

fn adapter(modules: &[(&str, u64, u64)], seed: u64) -> Vec<Tensor> {
    let factors = |(i, (module, rows, rank)): (usize, &(&str, u64, u64))| {
        let name = |factor: &str| format!("base_model.model.{module}.lora_{factor}.weight");
        let seed = seed + 2 * i as u64;
        [shaped(&name("A"), &[*rank, 12], seed), shaped(&name("B"), &[*rows, *rank], seed + 1)]
    };
    modules.iter().enumerate().flat_map(factors).collect()
}

fn config(rank: u64, alpha: f64) -> Value {
    json!({"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "task_type": "CAUSAL_LM"})
}

/// A base, two models trained from it, and three adapters.
fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    for (name, seed) in [("base", 1), ("model", 50)] {
        write_checkpoint(&root.join(name), &json!({"num_hidden_layers": 1, "torch_dtype": "float32"}), &model(seed), 1);
    }
    write_adapter(&root.join("one"), &config(2, 3.0), &adapter(&[(Q, 16, 2), (UP, 24, 2)], 100));
    write_adapter(&root.join("two"), &config(3, 6.0), &adapter(&[(Q, 16, 3)], 200));
    house
}

fn values(root: &Path, folder: &str) -> BTreeMap<String, Vec<f64>> {
    let decode = |tensor: &Tensor| match tensor.dtype {
        Dtype::F32 => tensor.bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        _ => tensor.bytes.as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f64()).collect(),
    };
    read_checkpoint(&root.join(folder)).iter().map(|tensor| (tensor.name.clone(), decode(tensor))).collect()
}

fn report(root: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(root.join(file)).unwrap()).unwrap()
}

/// The folded checkpoint of `base` and an adapter that was made.
fn folded(root: &Path, adapter: &str) -> BTreeMap<String, Vec<f64>> {
    let out = format!("folded-{adapter}");
    merge(root, &format!("merge_method: passthrough\nmodels: [{{model: base+{adapter}}}]\n"), &out, 1).unwrap();
    values(root, &out)
}

fn distance(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>, name: &str) -> f64 {
    a[name].iter().zip(&b[name]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The product that an adapter's factors make, of one module, scale included.
fn product(factors: &BTreeMap<String, Vec<f64>>, module: &str, cols: usize, scale: f64) -> Vec<f64> {
    let of = |factor: &str| &factors[&format!("base_model.model.{module}.lora_{factor}.weight")];
    let (a, b) = (of("A"), of("B"));
    let rank = a.len() / cols;
    let element = |at: usize| (0..rank).map(|r| scale * b[at / cols * rank + r] * a[r * cols + at % cols]).sum();
    (0..b.len() / rank * cols).map(element).collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
}

#[test]
fn an_adapter_by_itself_or_beside_its_likes_is_put_together_as_it_was() {
    let house = house();
    let root = house.path();
    write_adapter(&root.join("same"), &config(2, 3.0), &adapter(&[(Q, 16, 2), (UP, 24, 2)], 100));
    let expected = values(root, "one");
    for (out, models) in [("alone", "[{model: one}]"), ("twice", "[{model: one}, {model: same}]")] {
        merge(root, &format!("{{merge_method: lora_lego, models: {models}}}"), out, 2).unwrap();
        let found = values(root, out);
        for module in [Q, UP] {
            assert_near(&product(&found, module, 12, 1.0), &product(&expected, module, 12, 1.5));
        }
        assert_eq!(report(&root.join(out), "adapter_config.json")["lora_alpha"], json!(2));
    }
}

#[test]
fn ranks_are_grouped_and_brought_to_their_length() {
    let house = house();
    let root = house.path();
    let both = "models: [{model: one}, {model: two}]\n";
    // a group for every rank: the sum of the adapters
    merge(root, &format!("merge_method: lora_lego\nparameters: {{rank: 5, reweight_output: false}}\n{both}"), "sum", 2).unwrap();
    merge(root, &format!("merge_method: lora_merge\n{both}"), "merged", 2).unwrap();
    let [sum, merged] = ["sum", "merged"].map(|out| product(&values(root, out), Q, 12, 1.0));
    assert_near(&sum, &merged);
    // one group: the mean of all ranks, as long as they are in the mean, and √2.5 of that
    merge(root, &format!("merge_method: lora_lego\nparameters: {{rank: 1}}\n{both}"), "mean", 2).unwrap();
    let mut ranks: Vec<Vec<f64>> = Vec::new();
    for (name, rank, scale) in [("one", 2, 1.5), ("two", 3, 2.0)] {
        let of = |factor: &str| values(root, name)[&format!("base_model.model.{Q}.lora_{factor}.weight")].clone();
        let (a, b) = (of("A"), of("B"));
        for r in 0..rank {
            let column = (0..16).map(|row| scale * b[row * rank + r]);
            ranks.push(a[r * 12..(r + 1) * 12].iter().copied().chain(column).collect());
        }
    }
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mean: Vec<f64> = (0..28).map(|at| ranks.iter().map(|rank| rank[at]).sum::<f64>() / 5.0).collect();
    let factor = ranks.iter().map(|rank| length(rank)).sum::<f64>() / 5.0 / length(&mean);
    let element = |at: usize| factor * factor * 2.5f64.sqrt() * mean[12 + at / 12] * mean[at % 12];
    assert_near(&product(&values(root, "mean"), Q, 12, 1.0), &(0..16 * 12).map(element).collect::<Vec<_>>());
    for (parameters, expected) in [
        ("rank: 0", "0 is no rank"),
        ("rank: 1.5", "1.5 is no rank"),
        ("steps: -1", "-1 is no number of steps"),
        ("steps: 0.5", "0.5 is no"),
    ] {
        let recipe = format!("merge_method: lora_lego\nparameters: {{{parameters}}}\n{both}");
        let error = merge(root, &recipe, "never", 1).unwrap_err().message;
        assert!(error.contains(expected), "{error}");
    }
}

const TWO: &str = "models:\n- {model: one, parameters: {weight: 0.5}}\n- {model: two, parameters: {weight: -2}}\n";

#[test]
fn merged_adapters_change_the_base_as_the_merged_models() {
    let house = house();
    let root = house.path();
    merge(root, &format!("merge_method: lora_merge\n{TWO}"), "both", 2).unwrap();
    let sum = "merge_method: task_arithmetic\nbase_model: base\nmodels:\n- {model: base+one, parameters: {weight: 0.5}}\n\
               - {model: base+two, parameters: {weight: -2}}\n";
    merge(root, sum, "sum", 2).unwrap();
    let (found, expected) = (folded(root, "both"), values(root, "sum"));
    for name in expected.keys() {
        assert!(distance(&found, &expected, name) < 1e-4, "{name}");
    }
    let config = report(root, "both/adapter_config.json");
    assert_eq!((&config["r"], &config["rank_pattern"]), (&json!(5), &json!({UP: 2})));
    assert_eq!(config["target_modules"], json!([UP, Q]));
    assert_eq!(config["task_type"], "CAUSAL_LM");
    assert!(!root.join("both/config.json").exists());
}

#[test]
fn a_merge_cut_to_a_rank_is_the_nearest_of_that_rank() {
    let house = house();
    let root = house.path();
    merge(root, &format!("merge_method: lora_merge\n{TWO}"), "whole", 1).unwrap();
    let whole = folded(root, "whole");
    let base = values(root, "base");
    let name = format!("{Q}.weight");
    let mut before = f64::INFINITY;
    for rank in [1, 3, 5, 40] {
        let out = format!("rank-{rank}");
        merge(root, &format!("merge_method: lora_merge\nparameters: {{rank: {rank}}}\n{TWO}"), &out, 2).unwrap();
        let found = folded(root, &out);
        let error = distance(&found, &whole, &name) / distance(&whole, &base, &name);
        let module = report(root, &format!("{out}/lora_merge.json"))["modules"][1].clone();
        assert_eq!((&module["module"], &module["rank"]), (&json!(Q), &json!(rank.min(5))));
        assert!((module["error"].as_f64().unwrap() - error).abs() < 1e-4, "{error} {module}");
        assert!(error < before, "{error}");
        before = error + 1e-5;
    }
    assert!(before < 1e-4);
}

const EXTRACT: &str = "merge_method: lora_extract\nbase_model: base\nmodels: [{model: model}]\n";

#[test]
fn an_extraction_of_full_rank_folds_back_to_the_model() {
    let house = house();
    let root = house.path();
    merge(root, &format!("{EXTRACT}parameters: {{rank: 12}}\n"), "full", 2).unwrap();
    let (found, model) = (folded(root, "full"), values(root, "model"));
    for (name, expected) in &model {
        let most = found[name].iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most < 1e-5, "{name}: {most}");
    }
    let config = report(root, "full/adapter_config.json");
    assert_eq!((&config["r"], &config["modules_to_save"]), (&json!(12), &json!(["model.norm"])));
    assert_eq!(config["base_model_name_or_path"], "base");
    assert!(report(root, "full/lora_extract.json")["error"].as_f64().unwrap() < 1e-5);
}

#[test]
fn the_error_told_is_that_of_what_was_written() {
    let house = house();
    let root = house.path();
    let recipe = format!(
        "{EXTRACT}dtype: bfloat16\nparameters:\n  save: false\n  rank:\n  - {{filter: embed, value: 0}}\n  - {{value: 4}}\n"
    );
    merge(root, &recipe, "low", 2).unwrap();
    let (found, base, model) = (folded(root, "low"), values(root, "base"), values(root, "model"));
    let told = report(root, "low/lora_extract.json");
    let (mut lost, mut norm) = (0.0, 0.0);
    for (module, entry) in [(UP, &told["modules"][0]), (Q, &told["modules"][1])] {
        let name = format!("{module}.weight");
        let (error, whole) = (distance(&found, &model, &name), distance(&model, &base, &name));
        assert_eq!((&entry["module"], &entry["rank"]), (&json!(module), &json!(4)));
        assert!((entry["error"].as_f64().unwrap() - error / whole).abs() < 1e-4, "{entry} {}", error / whole);
        (lost, norm) = (lost + error * error, norm + whole * whole);
    }
    assert!((told["error"].as_f64().unwrap() - (lost / norm).sqrt()).abs() < 1e-4);
    assert_eq!(found["model.norm.weight"], base["model.norm.weight"], "left out");
    assert_eq!(found["model.embed_tokens.weight"], base["model.embed_tokens.weight"], "of rank 0");
}

#[test]
fn adapters_do_not_depend_on_threads() {
    let house = house();
    let root = house.path();
    for (name, recipe) in [
        ("merge", format!("merge_method: lora_merge\nparameters: {{rank: 3}}\n{TWO}")),
        ("extract", format!("{EXTRACT}parameters: {{rank: 2, oversample: 1}}\n")),
    ] {
        for threads in [1, 2, 3] {
            merge(root, &recipe, &format!("{name}-{threads}"), threads).unwrap();
        }
        let files = |threads| {
            let folder = fs::read_dir(root.join(format!("{name}-{threads}"))).unwrap();
            folder
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(files(1), files(2));
        assert_eq!(files(1), files(3));
    }
}

#[test]
fn bad_recipes_are_refused_before_anything_is_written() {
    let house = house();
    let root = house.path();
    write_adapter(&root.join("saved"), &config(2, 3.0), &[shaped("base_model.model.model.norm.weight", &[12], 1)]);
    write_adapter(&root.join("odd"), &config(2, 3.0), &adapter(&[(Q, 17, 2)], 1));
    for (recipe, expected) in [
        ("merge_method: lora_merge\nmodels: [{model: base}]\n", "base: has no adapter_config.json: not a LoRA adapter"),
        ("merge_method: lora_merge\nmodels: [{model: base+one}]\n", "lora_merge merges adapters without their base"),
        ("merge_method: lora_merge\nmodels: [{model: one}, {model: odd}]\n", "by a 17×12 matrix, another one by a 16×12 matrix"),
        (
            "merge_method: lora_merge\nmodels: [{model: one}, {model: saved}]\n",
            "replaces \"model.norm.weight\" whole (modules_to_save)",
        ),
        ("merge_method: lora_merge\nparameters: {rank: 0}\nmodels: [{model: one}]\n", "0 is no rank"),
        ("merge_method: lora_merge\nslices: [{sources: [{model: one, layer_range: [0, 1]}]}]\n", "without `slices`"),
        ("merge_method: lora_extract\nparameters: {rank: 2.5}\nbase_model: base\nmodels: [{model: model}]\n", "2.5 is no rank"),
        ("merge_method: lora_extract\nparameters: {rank: -1}\nbase_model: base\nmodels: [{model: model}]\n", "-1 is no rank"),
        (
            "merge_method: lora_extract\nparameters: {rank: 0, save: false}\nbase_model: base\nmodels: [{model: model}]\n",
            "lora_extract: no tensor of the models can be put into an adapter",
        ),
    ] {
        let failure = merge(root, recipe, "out", 1).unwrap_err();
        assert!(failure.message.contains(expected), "{recipe}: {}", failure.message);
        assert!(!root.join("out").exists() && !root.join(".out.braid").exists(), "{recipe}");
    }
    let mut infinite = model(3);
    infinite[1].bytes[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    write_checkpoint(&root.join("infinite"), &json!({"num_hidden_layers": 1}), &infinite, 1);
    let recipe = "merge_method: lora_extract\nparameters: {rank: 2}\nbase_model: base\nmodels: [{model: infinite}]\n";
    let message = merge(root, recipe, "out", 1).unwrap_err().message;
    assert!(message.contains("element 1 of the result is not a number") && message.contains("infinite"), "{message}");
}
