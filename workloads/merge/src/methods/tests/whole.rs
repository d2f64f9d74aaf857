//! Methods that ask about whole models, as whole merges: each against its formula written plainly in f64 over the model as one vector,
//! and against what must hold of it.

mod oracle;

use super::numbers;
use crate::{
    MergeExecute, MergeWorkload,
    testing::{Tensor, context, merge, read_checkpoint, spec, write_checkpoint},
};
use braid_kernels::{Dtype, GRANULE};
use braid_workload::{Advance, Execute, Workload};
use oracle::{fisher, pcb, ties};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// Names and shapes, with a tensor of several tiles, small ones, and one that is copied.
const SHAPES: [(&str, &[u64]); 4] = [
    ("model.embed_tokens.weight", &[30, 4]),
    ("model.layers.0.mlp.up_proj.weight", &[2, GRANULE as u64 + 33]),
    ("model.layers.1.mlp.up_proj.weight", &[40, 7]),
    ("model.norm.weight", &[9]),
];

fn tensors(seed: u64, dtype: Dtype) -> Vec<Tensor> {
    let one = |(index, (name, shape)): (usize, &(&str, &[u64]))| {
        let noise = Tensor::noise(name, dtype, shape.iter().product(), seed + index as u64);
        Tensor { shape: shape.to_vec(), ..noise }
    };
    let ids = Tensor { dtype: Dtype::I64, shape: vec![1], bytes: vec![7; 8], ..Tensor::f32("position_ids", &[1], []) };
    SHAPES.iter().enumerate().map(one).chain([ids]).collect()
}

fn house(dtype: Dtype) -> TempDir {
    let house = tempfile::tempdir().unwrap();
    for (name, seed) in [("base", 1), ("a", 20), ("b", 40), ("c", 60)] {
        write_checkpoint(&house.path().join(name), &json!({"num_hidden_layers": 2}), &tensors(seed, dtype), 2);
    }
    house
}

/// All floats of a checkpoint, one tensor after the other.
fn flat(root: &Path, folder: &str) -> Vec<f64> {
    let decode = |tensor: &Tensor| -> Vec<f64> {
        match tensor.dtype {
            Dtype::F32 => numbers(&tensor.bytes).into_iter().map(f64::from).collect(),
            Dtype::BF16 => {
                tensor.bytes.as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f64()).collect()
            }
            _ => Vec::new(),
        }
    };
    read_checkpoint(&root.join(folder)).iter().flat_map(decode).collect()
}

fn run(root: &Path, recipe: &str, out: &str) -> Vec<f64> {
    merge(root, recipe, out, 2).unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
    flat(root, out)
}

fn fails(root: &Path, recipe: &str) -> String {
    match merge(root, recipe, "never", 2) {
        Ok(_) => panic!("{recipe}: no error"),
        Err(failure) => failure.message,
    }
}

fn assert_close(found: &[f64], expected: &[f64], allowed: usize, what: &str) {
    assert_eq!(found.len(), expected.len());
    let wrong: Vec<_> = found.iter().zip(expected).filter(|(a, b)| (*a - *b).abs() > 2e-5).take(allowed + 1).collect();
    assert!(wrong.len() <= allowed, "{what}: {wrong:?}");
}

const EXPERTS: &str = "models: [{model: a}, {model: b}, {model: c}]\nbase_model: base\ndtype: float32\n";

#[test]
fn ties_is_the_papers() {
    for dtype in [Dtype::F32, Dtype::BF16] {
        let house = house(dtype);
        let root = house.path();
        let models = ["base", "a", "b", "c"].map(|name| flat(root, name));
        for (index, density, lambda) in [(0, 0.2, 1.0), (1, 0.5, 0.3), (2, 1.0, 1.0), (3, 0.0, 1.0)] {
            let recipe = format!("merge_method: ties_published\nparameters: {{density: {density}, lambda: {lambda}}}\n{EXPERTS}");
            let found = run(root, &recipe, &format!("out-{index}"));
            // a sum that is nothing in f64 may be something in f32
            assert_close(&found, &ties(&models, density, lambda), 3, &format!("density {density} {dtype}"));
        }
    }
}

#[test]
fn ties_that_keeps_all_of_experts_that_agree_is_their_mean() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    for (name, values) in [("base", [1.0, 2.0]), ("a", [2.0, 1.0]), ("b", [4.0, -1.0])] {
        let other = Tensor::f32("v", &[1], [values[1]]);
        write_checkpoint(&root.join(name), &json!({}), &[Tensor::f32("w", &[2], values), other], 1);
    }
    let recipe = "{merge_method: ties_published, base_model: base, models: [{model: a}, {model: b}], parameters: {density: 1}}";
    assert_eq!(run(root, recipe, "out"), [0.0, 3.0, 0.0]);
}

/// Two experts that cancel: the sign that most elements of the model have decides.
#[test]
fn a_tie_of_signs_goes_to_the_majority_of_the_model() {
    for (sign, expected) in [(1.0f32, 2.0), (-1.0, -2.0)] {
        let house = tempfile::tempdir().unwrap();
        let root = house.path();
        for (name, first) in [("base", 0.0), ("a", 2.0), ("b", -2.0)] {
            let rest = if name == "base" { 0.0 } else { sign };
            let tensors = [Tensor::f32("w", &[1], [first]), Tensor::f32("z", &[3], [rest; 3])];
            write_checkpoint(&root.join(name), &json!({}), &tensors, 1);
        }
        let recipe =
            "{merge_method: ties_published, base_model: base, models: [{model: a}, {model: b}], parameters: {density: 1}}";
        assert_eq!(run(root, recipe, "out")[0], expected);
    }
}

#[test]
fn competition_is_balanced_as_in_the_paper() {
    for dtype in [Dtype::F32, Dtype::BF16] {
        let house = house(dtype);
        let root = house.path();
        let models = ["base", "a", "b", "c"].map(|name| flat(root, name));
        for (index, ratio, lambda) in [(0, 0.1, 1.0), (1, 0.05, 1.2), (2, 0.9, 0.5), (3, 1.0, 1.0)] {
            let recipe = format!("merge_method: pcb\nparameters: {{ratio: {ratio}, lambda: {lambda}}}\n{EXPERTS}");
            let found = run(root, &recipe, &format!("out-{index}"));
            // which balance is just above a floor is decided by the last bit of f32
            assert_close(&found, &pcb(&models, ratio, lambda), 40, &format!("ratio {ratio} {dtype}"));
        }
    }
}

#[test]
fn one_task_without_competition_keeps_its_largest_changes() {
    let house = house(Dtype::F32);
    let root = house.path();
    let recipe = "{merge_method: pcb, base_model: base, models: [{model: a}], parameters: {ratio: 0.25}, dtype: float32}";
    let (found, base, expert) = (run(root, recipe, "out"), flat(root, "base"), flat(root, "a"));
    let mut sizes: Vec<f64> = base.iter().zip(&expert).map(|(a, b)| (b - a).abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let clamp = |delta: f64| delta.signum() * delta.abs().min(sizes[(sizes.len() as f64 * 0.9999 - 1.0) as usize]);
    let kept = found.iter().zip(&base).filter(|(found, base)| found != base).count() as f64 / base.len() as f64;
    assert!((kept - 0.25).abs() < 0.01, "{kept}");
    for ((found, base), expert) in found.iter().zip(&base).zip(&expert) {
        assert!(found == base || (found - base - clamp(expert - base)).abs() < 1e-5, "{found} of {base} and {expert}");
    }
}

/// Information for the models: some unknown everywhere, some only in one of them.
fn inform(root: &Path) {
    for (name, seed) in [("fa", 100), ("fb", 120)] {
        let square = |mut tensor: Tensor| {
            let values = numbers(&tensor.bytes).into_iter().enumerate();
            let known = |(index, value): (usize, f32)| match index % 5 {
                0 => 0.0,
                1 if name == "fb" => 0.0,
                _ => value * value * 1e-4,
            };
            if tensor.dtype == Dtype::F32 {
                tensor.bytes = values.map(known).flat_map(f32::to_le_bytes).collect();
            }
            tensor
        };
        let tensors: Vec<Tensor> = tensors(seed, Dtype::F32).into_iter().map(square).collect();
        write_checkpoint(&root.join(name), &json!({}), &tensors, 1);
    }
}

#[test]
fn models_are_averaged_by_what_they_know() {
    let house = house(Dtype::BF16);
    let root = house.path();
    inform(root);
    let models = ["a", "b"].map(|name| flat(root, name));
    let information = ["fa", "fb"].map(|name| flat(root, name));
    for (index, normalize, favor) in [(0, true, true), (1, false, true), (2, true, false), (3, false, false)] {
        let recipe = format!(
            "merge_method: fisher\ndtype: float32\nparameters: {{normalize_fishers: {normalize}, favor_target_model: {favor}}}\n\
             models:\n- {{model: a, fisher: fa, parameters: {{weight: 0.3}}}}\n- {{model: b, fisher: fb}}\n"
        );
        let found = run(root, &recipe, &format!("out-{index}"));
        assert_close(&found, &fisher(&models, &information, [0.3, 1.0], normalize, favor), 0, &format!("{normalize} {favor}"));
    }
}

#[test]
fn models_that_know_the_same_are_averaged_and_the_type_is_theirs() {
    let house = house(Dtype::BF16);
    let root = house.path();
    inform(root);
    let recipe = "{merge_method: fisher, models: [{model: a, fisher: fa}, {model: b, fisher: fa}], parameters: {favor_target_model: false}}";
    let found = run(root, recipe, "out");
    assert!(read_checkpoint(&root.join("out")).iter().all(|tensor| tensor.dtype != Dtype::F32), "F is no part of the result");
    for ((found, a), b) in found.iter().zip(flat(root, "a")).zip(flat(root, "b")) {
        assert!((found - (a + b) / 2.0).abs() <= 0.004 * found.abs() + 1e-6, "{found} of {a} and {b}");
    }
}

/// Overwrites one element of a model.
fn poison(root: &Path, name: &str, value: f32) {
    let mut poisoned = tensors(if name == "b" { 40 } else { 60 }, Dtype::F32);
    poisoned[2].bytes[44..48].copy_from_slice(&value.to_le_bytes());
    write_checkpoint(&root.join(name), &json!({"num_hidden_layers": 2}), &poisoned, 2);
}

#[test]
fn a_poisoned_model_changes_nothing() {
    let house = house(Dtype::F32);
    let root = house.path();
    let monna = |faulty: usize| format!("merge_method: monna\nparameters: {{faulty: {faulty}}}\n{EXPERTS}");
    let mut honest = Vec::new();
    for (index, value) in [f32::NAN, f32::INFINITY, 1e30, -1e20].into_iter().enumerate() {
        poison(root, "b", value);
        honest.push(run(root, &monna(1), &format!("out-{index}")));
    }
    assert!(honest.windows(2).all(|pair| pair[0] == pair[1]), "whatever it holds");
    let others = ["base", "a", "c"].map(|name| flat(root, name));
    let mean: Vec<f64> = (0..honest[0].len()).map(|j| others.iter().map(|model| model[j]).sum::<f64>() / 3.0).collect();
    assert_close(&honest[0], &mean, 0, "the mean of the others");
    assert_close(&run(root, &monna(3), "base-alone"), &flat(root, "base"), 0, "the base itself");
    poison(root, "b", f32::NAN);
    poison(root, "c", f32::NAN);
    let error = fails(root, &monna(1));
    assert!(error.contains("2 models hold values that are not finite") && error.contains("only 1 may be faulty"), "{error}");
}

#[test]
fn no_fault_is_the_mean_of_all() {
    let house = house(Dtype::F32);
    let root = house.path();
    let found = run(root, &format!("merge_method: monna\nparameters: {{faulty: 0}}\n{EXPERTS}"), "out");
    let models = ["base", "a", "b", "c"].map(|name| flat(root, name));
    let mean: Vec<f64> = (0..found.len()).map(|j| models.iter().map(|model| model[j]).sum::<f64>() / 4.0).collect();
    assert_close(&found, &mean, 0, "the mean");
}

#[test]
fn threads_and_memory_change_nothing() {
    let house = house(Dtype::BF16);
    let root = house.path();
    inform(root);
    let fisher = "merge_method: fisher\nmodels: [{model: a, fisher: fa}, {model: b, fisher: fb}]\n".to_owned();
    let methods = ["ties_published", "pcb", "monna\nparameters: {faulty: 1}"];
    let recipes = methods.map(|method| format!("merge_method: {method}\n{EXPERTS}")).into_iter().chain([fisher]);
    for (number, recipe) in recipes.enumerate() {
        let outputs = [(1, 256 << 20), (3, 256 << 20), (2, 16 << 20)].map(|(threads, memory)| {
            let out = format!("out-{number}-{threads}");
            let spec = spec(root, &recipe, &out);
            crate::testing::drive(&MergeExecute::new(), &spec, &context(threads, memory)).unwrap();
            read_checkpoint(&root.join(out))
        });
        assert!(outputs[0] == outputs[1] && outputs[0] == outputs[2], "{recipe}");
    }
}

/// The labels of the tasks that a job runs, until one that begins with `stop` would be next.
fn labels(spec: &Value, stop: &str) -> Vec<String> {
    let (execute, context) = (MergeExecute::new(), context(2, 256 << 20));
    let mut tasks = MergeWorkload.plan(spec).unwrap().tasks;
    let (mut state, mut labels) = (Value::Null, Vec::new());
    while let Some(task) = tasks.pop() {
        if task.label.starts_with(stop) {
            return labels;
        }
        labels.push(task.label.clone());
        let value = execute.run(spec, &task, &context).unwrap();
        match MergeWorkload.advance(spec, &state, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, state: next } => {
                tasks.extend(more);
                state = next.unwrap_or(state);
            }
            Advance::Finished(_) => break,
            Advance::Failed(failure) => panic!("{failure:?}"),
        }
    }
    labels
}

#[test]
fn an_interrupted_merge_does_not_ask_again() {
    let house = house(Dtype::F32);
    let root = house.path();
    let recipe = format!("merge_method: ties_published\n{EXPERTS}");
    let first = labels(&spec(root, &recipe, "out"), "tensors");
    let (rounds, ends) = (first.len() - 2, (first.first(), first.last()));
    assert_eq!(ends, (Some(&"plan".to_owned()), Some(&"spread".to_owned())));
    assert!((4..8).contains(&rounds) && first[1..=rounds].iter().all(|label| label == "survey 0..4"), "{first:?}");
    let again = labels(&spec(root, &recipe, "out"), "nothing");
    assert_eq!(again, ["plan", "tensors 0..5", "publish"]);
    let whole = run(root, &recipe, "whole");
    assert_eq!(flat(root, "out"), whole);
    // another recipe asks anew, in the same folder
    std::fs::remove_dir_all(root.join("out")).unwrap();
    labels(&spec(root, &recipe, "out"), "tensors");
    let other = format!("merge_method: ties_published\nparameters: {{density: 0.9}}\n{EXPERTS}");
    assert!(labels(&spec(root, &other, "out"), "tensors").len() >= 6);
}

#[test]
fn what_cannot_be_asked_about_whole_models_is_said() {
    let house = house(Dtype::F32);
    let root = house.path();
    inform(root);
    let slices = "slices:\n- sources: [{model: base, layer_range: [0, 1]}, {model: a, layer_range: [0, 1]}]\n\
                  - sources: [{model: base, layer_range: [1, 2]}, {model: b, layer_range: [1, 2]}]\n";
    let negative = Tensor {
        bytes: numbers(&tensors(1, Dtype::F32)[3].bytes).iter().flat_map(|_| (-1e-3f32).to_le_bytes()).collect(),
        ..tensors(1, Dtype::F32).swap_remove(3)
    };
    let mut wrong = tensors(1, Dtype::F32);
    wrong[3] = negative;
    write_checkpoint(&root.join("negative"), &json!({}), &wrong, 1);
    write_checkpoint(&root.join("small"), &json!({}), &tensors(1, Dtype::F32)[..2], 1);
    let two = "models: [{model: a, fisher: fa}, {model: b, fisher: ";
    for (recipe, expected) in [
        (
            format!("merge_method: ties_published\nparameters: {{density: [0.1, 0.9]}}\n{EXPERTS}"),
            "`density` is one number for a whole model here, but differs between \"model.embed_tokens.weight\" and \"model.layers.1",
        ),
        (format!("merge_method: ties_published\nparameters: {{density: 2}}\n{EXPERTS}"), "a density of 2 is no share"),
        (format!("merge_method: ties_published\nbase_model: base\n{slices}"), "are made of different ones"),
        (format!("merge_method: pcb\nparameters: {{ratio: 0}}\n{EXPERTS}"), "0 is no share of the balances"),
        (format!("merge_method: pcb\nparameters: {{ratio: 1.5}}\n{EXPERTS}"), "1.5 is no share of the balances"),
        (format!("merge_method: pcb\nparameters: {{ratio: [0.1, 0.2]}}\n{EXPERTS}"), "`ratio` is one number for a whole model"),
        (format!("merge_method: monna\nparameters: {{faulty: 4}}\n{EXPERTS}"), "4 is no number of models, of 4"),
        (format!("merge_method: monna\nparameters: {{faulty: 0.5}}\n{EXPERTS}"), "0.5 is no number of models"),
        (format!("merge_method: monna\nparameters: {{faulty: -1}}\n{EXPERTS}"), "-1 is no number of models"),
        (format!("merge_method: monna\n{EXPERTS}"), "monna needs `faulty`"),
        ("merge_method: fisher\nmodels: [{model: a}]".into(), "a model has no `fisher`"),
        ("merge_method: linear\nmodels: [{model: a, fisher: fa}]".into(), "unknown key `fisher` in a model"),
        (format!("merge_method: fisher\n{two}small}}]"), "model `small` has 1 layers"),
        (format!("merge_method: fisher\n{two}negative}}]"), "negative holds negative numbers"),
        (
            format!("merge_method: fisher\n{two}fb, parameters: {{weight: -1}}}}]"),
            "-1 weighs what is known, and cannot be negative",
        ),
        (format!("merge_method: fisher\nparameters: {{weight: 0}}\n{two}fb}}]"), "all weights are zero"),
        (format!("merge_method: fisher\n{two}nowhere}}]"), "nowhere"),
    ] {
        let error = said(root, &recipe);
        assert!(error.contains(expected), "{recipe}: {error}");
        assert!(!root.join("never").exists());
    }
}

/// What a user reads, whether the job is refused or fails.
fn said(root: &Path, recipe: &str) -> String {
    match MergeWorkload.plan(&spec(root, recipe, "never")) {
        Err(refused) => refused.to_string(),
        Ok(_) => fails(root, recipe),
    }
}

#[test]
fn what_is_not_a_number_is_noticed() {
    let house = house(Dtype::F32);
    let root = house.path();
    poison(root, "b", f32::NAN);
    for method in ["ties_published", "pcb"] {
        let error = fails(root, &format!("merge_method: {method}\n{EXPERTS}"));
        assert!(error.contains("element 11 of the result is not a number: model b holds NaN there"), "{method}: {error}");
    }
}
