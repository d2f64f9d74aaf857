//! Several recipes in one file, run: what they make must be what the same recipes make from files of their own, one after the other.

mod adapters;

use super::MergeExecute;
use crate::{
    MergeSpec, MergeWorkload,
    dry_run::dry_run,
    testing::{Tensor, context, drive, merge, read_checkpoint, spec, write_adapter, write_checkpoint},
};
use braid_kernels::{Dtype, GRANULE};
use braid_workload::{Advance, Execute, TaskContext, TaskId, Workload};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Four models of two layers; `big` elements where tiles are to end inside of a tensor.
fn models(root: &Path, dtype: Dtype, big: u64) {
    for (seed, name) in ["base", "x", "v", "z"].into_iter().enumerate() {
        let seed = seed as u64 * 10;
        let mut tensors = vec![
            Tensor::noise("model.embed_tokens.weight", dtype, 640, seed),
            Tensor::noise("model.norm.weight", Dtype::F32, 16, seed + 1),
        ];
        for layer in 0..2 {
            tensors.push(Tensor::noise(&format!("model.layers.{layer}.mlp.up_proj.weight"), dtype, big, seed + 2 + layer));
        }
        for tensor in &mut tensors {
            // small steps away from the base, as fine-tunes take
            let width = if tensor.shape[0].is_multiple_of(16) { 16 } else { 1 };
            tensor.shape = if tensor.name.contains("norm") { tensor.shape.clone() } else { vec![tensor.shape[0] / width, width] };
        }
        write_checkpoint(&root.join(name), &json!({"model_type": "llama", "num_hidden_layers": 2}), &tensors, 2);
        fs::write(root.join(name).join("tokenizer_config.json"), format!("{{\"of\": \"{name}\"}}")).unwrap();
    }
}

const TILED: [(&str, &str); 5] = [
    (
        "linear",
        "merge_method: linear\nmodels: [{model: x, parameters: {weight: 0.3}}, {model: v, parameters: {weight: [0.7, 0.2]}}]\n",
    ),
    (
        "task_arithmetic",
        "merge_method: task_arithmetic\nbase_model: base\nmodels: [{model: x, parameters: {weight: 0.3}}, {model: v, parameters: {weight: 1}}]\n\
         dtype: float16\n",
    ),
    (
        "dare_published",
        "merge_method: dare_published\nbase_model: base\nmodels: [{model: x, parameters: {density: 0.4}}, {model: v}]\n",
    ),
    ("ram", "merge_method: ram\nbase_model: base\nmodels: [{model: x}, {model: v}]\n"),
    ("passthrough", "merge_method: passthrough\nmodels: [{model: x, parameters: {scale: 0.5}}]\n"),
];
const WRITTEN: [(&str, &str); 3] = [
    ("ties", "merge_method: ties\nbase_model: base\nparameters: {density: 0.5, weight: 1}\nmodels: [{model: x}, {model: v}]\n"),
    (
        "ties_published",
        "merge_method: ties_published\nbase_model: base\nparameters: {density: 0.4}\nmodels: [{model: x}, {model: v}]\n",
    ),
    (
        "lines",
        "merge_method: task_arithmetic\nbase_model: base\nmodels: [{model: x, parameters: {weight: 1}}]\nlines: {alpha: 0.5, beta: 0.5}\n",
    ),
];
/// What merges it: one pass, two passes, whole rows, whole models, whole tensors, layers moved about.
const USERS: [&str; 6] = [
    "merge_method: nearswap\nbase_model: STAGE\nmodels: [{model: z}]\nparameters: {t: 0.01}\n",
    "merge_method: slerp\nbase_model: z\nmodels: [{model: STAGE}]\nparameters: {t: 0.4}\n",
    "merge_method: della\nbase_model: base\nparameters: {weight: 1, density: 0.5, epsilon: 0.1}\nmodels: [{model: STAGE}, {model: z}]\n",
    "merge_method: pcb\nbase_model: base\nmodels: [{model: STAGE}, {model: z}]\n",
    "merge_method: tsvm\nbase_model: base\nmodels: [{model: STAGE}, {model: z}]\n",
    "merge_method: passthrough\nslices: [{sources: [{model: STAGE, layer_range: [1, 2]}]}, {sources: [{model: z, layer_range: [0, 2]}]}]\n",
];

/// The result of a file, and that of the same recipes by hand.
fn both(root: &Path, stage: &str, user: &str, out: &str, threads: usize) -> (Vec<Tensor>, Vec<Tensor>) {
    let user = |name: &str| user.replace("STAGE", name);
    let file = format!("{}---\nname: first\n{stage}", user("first"));
    merge(root, &file, out, threads).unwrap_or_else(|failure| panic!("{file}: {failure:?}"));
    let (alone, then) = (format!("{out}-alone"), format!("{out}-then"));
    merge(root, stage, &alone, 1).unwrap();
    merge(root, &user(&alone), &then, 1).unwrap();
    assert_eq!(config(&root.join(out)), config(&root.join(&then)), "{file}");
    assert_eq!(inputs(&root.join(out)), inputs(&root.join(&then)), "{file}");
    assert!(!root.join(format!(".{out}.stages")).exists() && !root.join(format!(".{out}.braid")).exists());
    (read_checkpoint(&root.join(out)), read_checkpoint(&root.join(then)))
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
}

/// The digests of what each tensor was made of.
fn inputs(folder: &Path) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("braid.json")).unwrap()).unwrap();
    let digests = |tensor: &Value| tensor["inputs"].as_array().unwrap().iter().map(|input| input["blake3"].clone()).collect();
    manifest["tensors"].as_array().unwrap().iter().map(digests).collect()
}

#[test]
fn stages_make_what_recipes_one_after_the_other_make() {
    for (dtype, big) in [(Dtype::F32, 64 * 16), (Dtype::BF16, 2 * GRANULE as u64 + 16)] {
        let house = tempfile::tempdir().unwrap();
        let root = house.path();
        models(root, dtype, big);
        for (number, (name, stage)) in TILED.iter().chain(&WRITTEN).enumerate() {
            // each of these merges waits for the disk: large tensors meet a third of them
            for (other, user) in USERS.iter().enumerate().filter(|(other, _)| big < GRANULE as u64 || (other + number) % 3 == 0) {
                let (found, expected) = both(root, stage, user, &format!("out-{name}-{other}"), 1 + (number + other) % 3);
                assert!(found == expected, "{dtype:?}: {name} in {user}");
            }
        }
    }
}

#[test]
fn what_tiles_can_be_made_of_is_never_written() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::BF16, 160);
    let written = |recipe: &str| -> Vec<(String, bool)> {
        let spec: MergeSpec = serde_json::from_value(spec(root, recipe, "nowhere")).unwrap();
        let planned = dry_run(&spec).unwrap_or_else(|error| panic!("{recipe}: {error}"));
        planned.stages.into_iter().map(|stage| (stage.name, stage.written)).collect()
    };
    let user = USERS[0].replace("STAGE", "first");
    for (name, stage) in TILED {
        assert_eq!(written(&format!("name: first\n{stage}---\n{user}")), [("first".to_owned(), false)], "{name}");
    }
    for (name, stage) in WRITTEN {
        assert_eq!(written(&format!("name: first\n{stage}---\n{user}")), [("first".to_owned(), true)], "{name}");
    }
    // of tiles of tiles; and of what is in a file
    let chain = format!(
        "name: a\n{}---\nname: b\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: a}}, {{model: z}}]\n---\n\
         name: c\n{}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: b}}, {{model: c}}]\n",
        TILED[0].1,
        WRITTEN[0].1.replace("model: v", "model: b"),
    );
    assert_eq!(written(&chain), [("a".to_owned(), false), ("b".to_owned(), false), ("c".to_owned(), true)]);
    merge(root, &chain, "out", 2).unwrap();
    let alone = |recipe: &str, out: &str| merge(root, recipe, out, 1).unwrap();
    alone(TILED[0].1, "a");
    alone("merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: z}]\n", "b");
    alone(&WRITTEN[0].1.replace("model: v", "model: b"), "c");
    alone("merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: b}, {model: c}]\n", "d");
    assert!(read_checkpoint(&root.join("out")) == read_checkpoint(&root.join("d")));
    // an adapter is put on what is in a file
    write_adapter(
        &root.join("lora"),
        &json!({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["up_proj"]}),
        &[
            Tensor::f32("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", &[1, 16], (0..16).map(|n| n as f32 / 64.0)),
            Tensor::f32("base_model.model.model.layers.0.mlp.up_proj.lora_B.weight", &[10, 1], (0..10).map(|n| n as f32 / 64.0)),
        ],
    );
    let adapted =
        |first: &str| format!("merge_method: slerp\nbase_model: z\nmodels: [{{model: {first}+lora}}]\nparameters: {{t: 0.5}}\n");
    let file = format!("name: first\n{}---\n{}", TILED[0].1, adapted("first"));
    assert_eq!(written(&file), [("first".to_owned(), true)]);
    merge(root, &file, "adapted", 2).unwrap();
    alone(&adapted("a"), "by-hand");
    assert!(read_checkpoint(&root.join("adapted")) == read_checkpoint(&root.join("by-hand")));
}

/// Tiles of tiles of tiles cost more than a disk: each of these reads the two before it.
#[test]
fn what_would_be_read_too_often_is_written() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let mut file = String::new();
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        1 => "v".to_owned(),
        index => format!("s{index}"),
    };
    for index in 2..34 {
        let (a, b, own) = (name(index - 1), name(index - 2), name(index));
        file += &format!(
            "name: {own}\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: {a}}}, {{model: {b}}}]\n---\n"
        );
    }
    let planned = dry_run(&serde_json::from_value(spec(root, &file, "nowhere")).unwrap()).unwrap();
    let written = planned.stages.iter().filter(|stage| stage.written).count();
    assert!((4..16).contains(&written), "{written} of {}", planned.stages.len());
    let (read, _, _) = planned.totals();
    assert!(read < 40 * 16 * planned.summary.bytes_out, "{read}");
    merge(root, &file, "out", 2).unwrap();
}

#[test]
fn the_result_has_the_companions_of_the_donor_of_its_donor() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    for (out, stage) in [("composed", TILED[0].1), ("written", WRITTEN[0].1)] {
        let file = format!(
            "name: first\n{stage}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: first}}, {{model: z}}]\n"
        );
        let result = merge(root, &file, out, 1).unwrap();
        let donor = if out == "composed" { "x" } else { "base" };
        assert_eq!(fs::read_to_string(root.join(out).join("tokenizer_config.json")).unwrap(), format!("{{\"of\": \"{donor}\"}}"));
        assert!(result.summary.contains(" by 2 recipes into "), "{}", result.summary);
        let manifest: Value = serde_json::from_slice(&fs::read(root.join(out).join("braid.json")).unwrap()).unwrap();
        assert_eq!((manifest["recipe"].as_str(), &manifest["models"]), (Some(file.as_str()), &json!(["first", "z"])));
    }
}

/// The job is dropped after each number of tasks, and begun again: what was made stays, and is what it would have been.
#[test]
fn an_interrupted_job_goes_on_with_the_stages_that_are_there() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let file = format!(
        "name: a\n{}---\nname: b\n{}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: a}}, {{model: b}}]\n",
        WRITTEN[0].1, WRITTEN[1].1
    );
    merge(root, &file, "undisturbed", 1).unwrap();
    let expected = read_checkpoint(&root.join("undisturbed"));
    let mut interrupted = 0;
    for stop in 1.. {
        let out = format!("out-{stop}");
        let spec = spec(root, &file, &out);
        if run(&spec, stop).0 {
            break;
        }
        interrupted += 1;
        drive(&MergeExecute::new(), &spec, &context(1, 256 << 20)).unwrap();
        assert!(read_checkpoint(&root.join(&out)) == expected, "after {stop} tasks");
        assert!(!root.join(format!(".{out}.stages")).exists());
        // and the whole is known to be there
        let again = drive(&MergeExecute::new(), &spec, &context(1, 256 << 20)).unwrap();
        assert!(again.summary.ends_with("already holds this merge"), "{}", again.summary);
    }
    assert!(interrupted >= 8, "{interrupted}: a plan, tensors and publishing for each of three");
}

#[test]
fn a_stage_of_inputs_that_have_changed_is_merged_again() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let file = format!("name: a\n{}---\n{}", WRITTEN[0].1, USERS[1].replace("STAGE", "a"));
    let job = spec(root, &file, "out");
    let tasks = (1..).find(|count| run(&job, *count).0 || there(&root.join(".out.stages"))).unwrap();
    assert!(!root.join("out").exists(), "{tasks} tasks were all");
    // the same headers, other numbers
    let mut tensors = read_checkpoint(&root.join("x"));
    tensors.iter_mut().for_each(|tensor| tensor.bytes.reverse());
    tensors.iter_mut().for_each(|tensor| tensor.bytes.iter_mut().for_each(|byte| *byte &= 0x3f));
    write_checkpoint(&root.join("x"), &config(&root.join("x")), &tensors, 2);
    drive(&MergeExecute::new(), &job, &context(1, 256 << 20)).unwrap();
    merge(root, &file, "fresh", 1).unwrap();
    assert!(read_checkpoint(&root.join("out")) == read_checkpoint(&root.join("fresh")));
}

/// Whether a stage is there.
fn there(stages: &Path) -> bool {
    let entries = fs::read_dir(stages).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().any(|entry| entry.path().join("braid.json").exists())
}

/// Runs so many tasks of a job; whether that were all, and the bytes of inputs that they read.
fn run(spec: &Value, count: usize) -> (bool, u64) {
    let execute = MergeExecute::new();
    let (mut tasks, mut state, mut read) = (MergeWorkload.plan(spec).unwrap().tasks, Value::Null, 0);
    for index in 0..count {
        let Some(task) = tasks.pop() else { return (true, read) };
        let context = context(1, 256 << 20);
        let context = TaskContext { task: TaskId { index: index as u32, ..context.task }, ..context };
        let value = execute.run(spec, &task, &context).unwrap();
        read += value["read"].as_u64().unwrap_or(0);
        match MergeWorkload.advance(spec, &state, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, state: next } => {
                tasks.extend(more);
                state = next.unwrap_or(state);
            }
            _ => return (true, read),
        }
    }
    (false, read)
}

#[test]
fn what_is_read_is_told_beforehand() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::BF16, 1600);
    for (number, (name, stage)) in TILED.iter().chain(&WRITTEN[..1]).enumerate() {
        for (other, user) in USERS[..2].iter().enumerate() {
            let recipe = format!("name: first\n{stage}---\n{}", user.replace("STAGE", "first"));
            let spec = spec(root, &recipe, &format!("out-{number}-{other}"));
            let foretold = dry_run(&serde_json::from_value(spec.clone()).unwrap()).unwrap().totals().0;
            assert_eq!(run(&spec, usize::MAX), (true, foretold), "{name} in {user}");
        }
    }
}

#[test]
fn what_cannot_be_done_in_one_file_is_refused_before_anything_is_written() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let file = format!(
        "name: first\n{}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: fisrt}}, {{model: first}}]\n",
        TILED[0].1
    );
    let failure = merge(root, &file, "out", 1).unwrap_err();
    assert!(failure.message.starts_with("recipe.yml:7:18: model `fisrt` is not there"), "{}", failure.message);
    assert_eq!(failure.hint.as_deref(), Some("did you mean `first`, a recipe of this file?"));
    let left: Vec<_> = fs::read_dir(root).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("out")), "{left:?}");
    // a folder that is in use is known before the first stage is merged
    fs::create_dir(root.join("full")).unwrap();
    fs::write(root.join("full/notes"), "").unwrap();
    let file = format!(
        "name: first\n{}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: first}}, {{model: z}}]\n",
        WRITTEN[0].1
    );
    let failure = merge(root, &file, "full", 1).unwrap_err();
    assert!(failure.message.contains("is not empty: it holds \"notes\""), "{}", failure.message);
    assert!(!root.join(".full.stages").exists());
}
