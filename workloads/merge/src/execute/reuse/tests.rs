//! Merges that take tensors from an earlier result: the bytes are those of a fresh merge, and only what must be is computed.

use super::super::tests::{House, LINEAR, Worker};
use crate::{step, testing::write_checkpoint};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

/// The weight of one layer is another one.
fn edited() -> String {
    LINEAR.replace("weight: 3", "weight: [{filter: layers.1., value: 2}, {value: 3}]")
}

impl House {
    fn reusing(&self, recipe: &str, out: &str, earlier: &str) -> Value {
        let mut spec = self.spec(recipe, out);
        spec["reuse"] = json!(self.path(earlier));
        spec
    }

    /// As if the merge had begun a while after its inputs were written.
    fn settle(&self, out: &str) {
        let file = File::options().write(true).open(self.path(out).join("braid-inputs.json")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    }

    fn same(&self, one: &str, other: &str) {
        let (one, other) = (self.files(one), self.files(other));
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(other[name] == *bytes, "{name}");
        }
    }
}

/// Merges, and says how many tensors were taken from an earlier result and how many bytes of inputs were read.
fn merge(spec: &Value) -> (u64, u64) {
    let worker = Worker::new(spec, 2);
    let plan = worker.plan();
    let merged: step::Merged = step::read(&worker.tensors(&plan, 0, 6).unwrap()).unwrap();
    (worker.publish(&plan).unwrap().taken.unwrap().tensors as u64, merged.read)
}

/// Both inputs of layer 1.
const LAYER: u64 = 2 * 4 * (70_000 + 10);
/// Both inputs of everything.
const ALL: u64 = 2 * 920_120;

#[test]
fn only_the_layer_whose_weight_has_changed_is_computed() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "first"), 2).merge().unwrap();
    house.settle("first");
    Worker::new(&house.spec(&edited(), "fresh"), 2).merge().unwrap();
    assert_eq!(merge(&house.reusing(&edited(), "out", "first")), (4, LAYER));
    house.same("fresh", "out");
    // and once more, from a result of which some was taken itself
    house.settle("out");
    assert_eq!(merge(&house.reusing(LINEAR, "back", "out")), (4, LAYER));
    house.same("first", "back");
    let summary = Worker::new(&house.reusing(LINEAR, "all", "back"), 2).merge().unwrap().summary;
    let expected = format!(", taking 6 of 6 tensors (920.1 kB) from {}", house.path("back").display());
    assert!(summary.ends_with(&expected), "{summary}");
    house.same("first", "all");
}

#[test]
fn inputs_that_may_have_changed_are_read_and_compared() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "first"), 2).merge().unwrap();
    // The inputs were written just before the first merge began.
    assert_eq!(merge(&house.reusing(LINEAR, "unsettled", "first")), (6, ALL));
    house.same("first", "unsettled");
    // One tensor is another one, in a file of the same length and with its old time.
    house.settle("first");
    let shard = house.path("b/model-00002-of-00002.safetensors");
    let written = fs::metadata(&shard).unwrap().modified().unwrap();
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    File::options().write(true).open(&shard).unwrap().set_modified(written).unwrap();
    Worker::new(&house.spec(LINEAR, "fresh"), 2).merge().unwrap();
    let (taken, read) = merge(&house.reusing(LINEAR, "out", "first"));
    assert_eq!(taken, 5, "all but the one that has changed");
    assert!((ALL / 2..ALL).contains(&read), "{read}: of model a nothing but that one");
    house.same("fresh", "out");
}

#[test]
fn another_seed_or_type_or_method_takes_nothing() {
    let house = House::new();
    let recipe = "merge_method: dare_linear\nbase_model: a\nmodels:\n- {model: b, parameters: {weight: 1, density: 0.5}}\n";
    Worker::new(&house.spec(recipe, "first"), 2).merge().unwrap();
    house.settle("first");
    let mut seeded = house.reusing(recipe, "seeded", "first");
    seeded["seed"] = json!(1);
    assert_eq!(merge(&seeded).0, 0);
    assert_eq!(merge(&house.reusing(&format!("{recipe}dtype: bfloat16\n"), "typed", "first")).0, 0);
    assert_eq!(merge(&house.reusing(&recipe.replace("dare_linear", "dare_ties"), "other", "first")).0, 0);
    assert_eq!(merge(&house.reusing(recipe, "again", "first")).0, 6);
    house.same("first", "again");
}

#[test]
fn numbers_of_whole_models_belong_to_every_tensor() {
    let house = House::new();
    let recipe = "merge_method: ties_published\nbase_model: a\nmodels:\n- {model: b}\nparameters: {density: 0.5}\n";
    Worker::new(&house.spec(recipe, "first"), 2).merge().unwrap();
    house.settle("first");
    let summary = |spec: &Value| Worker::new(spec, 2).merge().unwrap().summary;
    assert!(summary(&house.reusing(recipe, "again", "first")).contains(", taking 6 of 6 tensors"));
    house.same("first", "again");
    let other = recipe.replace("0.5", "0.25");
    assert!(summary(&house.reusing(&other, "other", "first")).contains(", taking 0 of 6 tensors"));
}

#[test]
fn bytes_that_are_not_what_was_made_are_not_taken() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "first"), 2).merge().unwrap();
    Worker::new(&house.spec(LINEAR, "fresh"), 2).merge().unwrap();
    let shard = house.path("first/model-00001-of-00003.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    assert_eq!(merge(&house.reusing(LINEAR, "out", "first")).0, 5);
    house.same("fresh", "out");
    // a shorter file is no checkpoint
    let length = fs::metadata(&shard).unwrap().len();
    File::options().write(true).open(&shard).unwrap().set_len(length - 1).unwrap();
    let failure = Worker::new(&house.reusing(LINEAR, "short", "first"), 2).merge().unwrap_err();
    assert!(failure.message.contains("first/model-00001-of-00003.safetensors: "), "{failure:?}");
    // a manifest that somebody has edited
    let manifest = house.path("fresh/braid.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let digest = |index: usize| value["tensors"][index]["blake3"].as_str().unwrap();
    fs::write(&manifest, text.replace(digest(1), digest(3))).unwrap();
    let failure = Worker::new(&house.reusing(LINEAR, "edited", "fresh"), 2).merge().unwrap_err();
    let expected = "fresh/braid.json: has been changed: its digest is not that of the tensors that it lists";
    assert!(failure.message.ends_with(expected), "{failure:?}");
    assert!(!house.path("edited").exists() && !house.staging("edited").exists());
}

#[test]
fn what_is_no_result_of_a_merge_is_refused() {
    let house = House::new();
    let failure = |earlier: &str| Worker::new(&house.reusing(LINEAR, "out", earlier), 1).merge().unwrap_err();
    for (earlier, expected) in [("a", "a/braid.json: is not there, so there is nothing to reuse"), ("nowhere", "is not there")] {
        let failure = failure(earlier);
        assert!(failure.message.contains(expected), "{failure:?}");
        assert_eq!(failure.hint.as_deref(), Some("--reuse takes the folder or the URL of an earlier result of braid merge"));
    }
    fs::write(house.path("b/braid.json"), "[]").unwrap();
    assert!(failure("b").message.contains("b/braid.json: is not the manifest of a merge: "));
    assert!(!house.path("out").exists() && !house.staging("out").exists());
}

#[test]
fn tensors_that_are_made_together_are_taken_together_with_what_was_said_of_them() {
    let house = House::new();
    let config = json!({"num_hidden_layers": 2, "torch_dtype": "float32", "hidden_size": 8, "num_attention_heads": 2});
    for (model, seed) in [("base", 1), ("one", 2), ("two", 3)] {
        write_checkpoint(&house.path(model), &config, &matrices(seed), 1);
    }
    let recipe = |weight: &str| {
        format!(
            "merge_method: opcm\nbase_model: base\nmodels:\n- {{model: one}}\n- {{model: two}}\nparameters: {{alpha: {weight}}}\n"
        )
    };
    let summary = |spec: &Value| Worker::new(spec, 2).merge().unwrap().summary;
    summary(&house.spec(&recipe("0.5"), "first"));
    house.settle("first");
    let all = summary(&house.reusing(&recipe("0.5"), "out", "first"));
    assert!(all.contains(", taking 3 of 3 tensors"), "{all}");
    house.same("first", "out");
    assert!(summary(&house.reusing(&recipe("0.4"), "other", "first")).contains(", taking 0 of 3 tensors"));
}

fn matrices(seed: u64) -> Vec<crate::testing::Tensor> {
    let matrix = |(name, seed): (&str, u64)| crate::testing::Tensor {
        shape: vec![8, 8],
        ..crate::testing::Tensor::noise(name, braid_kernels::Dtype::F32, 64, seed)
    };
    ["model.layers.0.q", "model.layers.1.q", "model.layers.1.k"].into_iter().zip(seed * 10..).map(matrix).collect()
}
