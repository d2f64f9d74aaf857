//! Files of several recipes whose result goes to a bucket: what stages make lies there too, in a folder that goes when the result is there.

use super::results::{cloud, folder, run, worker};
use crate::{
    MergeWorkload,
    checkpoint::{Sources, Store},
    cloud::{
        bucket::{Asked, Bucket, Trouble},
        tests::house,
    },
    dry_run::dry_run_in,
    testing::{context, write_checkpoint},
    workload::read_spec,
};
use braid_workload::{Advance, Execute, TaskContext, TaskId, Workload};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

/// Two stages that are written, one of them of the other, and one that is computed as it is read.
const FILE: &str = "name: first
merge_method: ties
base_model: a
models: [{model: b, parameters: {weight: WEIGHT, density: 0.5}}]
---
name: tiles
merge_method: linear
models: [{model: first, parameters: {weight: 1}}, {model: b, parameters: {weight: 3}}]
---
name: second
merge_method: slerp
base_model: a
models: [{model: first}]
parameters: {t: 0.3}
---
merge_method: linear
parameters: {weight: 1}
models: [{model: tiles}, {model: second}, {model: b}]
";

fn spec(house: &TempDir, weight: u32, out: &str) -> Value {
    let mut spec = crate::testing::spec(house.path(), &FILE.replace("WEIGHT", &weight.to_string()), "out");
    spec["max_shard_size"] = (2 * super::LARGE * 4).into();
    spec["out"] = out.into();
    spec
}

fn expected(house: &TempDir, weight: u32) -> BTreeMap<String, Vec<u8>> {
    let out = house.path().join(format!("local-{weight}"));
    if !out.exists() {
        run(&Bucket::new(), &spec(house, weight, out.to_str().unwrap()), 1).unwrap();
    }
    folder(&out)
}

/// Requires that nothing is in the bucket but the result.
fn alone(bucket: &Bucket, out: &str, expected: &BTreeMap<String, Vec<u8>>, when: &str) {
    assert_eq!(bucket.below(out), *expected, "{when}");
    let beside: Vec<String> = bucket.below("").into_keys().filter(|name| !name.starts_with(&format!("{out}/"))).collect();
    assert_eq!(beside, Vec::<String>::new(), "{when}");
}

#[test]
fn a_file_of_several_recipes_makes_in_a_bucket_what_it_makes_in_a_folder() {
    let house = house();
    let expected = expected(&house, 3);
    for workers in 1..=3 {
        let bucket = Bucket::new();
        let done = run(&bucket, &spec(&house, 3, "s3://bucket/models/out"), workers).unwrap();
        assert!(done.summary.starts_with("merged 2 checkpoints by 4 recipes into s3://bucket/models/out ("), "{}", done.summary);
        alone(&bucket, "models/out", &expected, &format!("{workers} workers"));
        assert_eq!(
            run(&bucket, &spec(&house, 3, "s3://bucket/models/out"), 1).unwrap().summary,
            "s3://bucket/models/out already holds this merge"
        );
        let asked = bucket.asked.lock().unwrap().clone();
        let first = asked.iter().find(|(asked, _)| asked.writes()).unwrap();
        assert_eq!(first.1, "models/.out.braid/plan.json", "the place is taken before anything is made for it");
        assert!(asked.iter().any(|(_, path)| path.starts_with("models/.out.stages/")), "stages are written to the bucket");
    }
}

#[test]
fn wherever_it_is_interrupted_it_ends_the_same() {
    let house = house();
    let (expected, spec) = (expected(&house, 3), spec(&house, 3, "s3://bucket/out"));
    let mut interrupted = 0;
    // each round merges twice: every third write is enough to meet each kind
    for writes in (0..).step_by(3) {
        let bucket = Bucket::new();
        let (written, dead) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let killed = Arc::clone(&dead);
        bucket.trouble(move |asked, _| {
            let spent = asked.writes() && written.fetch_add(1, Ordering::SeqCst) >= writes;
            (spent || killed.load(Ordering::SeqCst)).then(|| {
                killed.store(true, Ordering::SeqCst);
                Trouble::Fails
            })
        });
        let first = run(&bucket, &spec, 2);
        let there = bucket.below("out");
        assert!(!there.contains_key("braid.json") || there == expected, "after {writes} writes");
        bucket.trouble(|_, _| None);
        let stages = bucket.below(".out.stages");
        let finished: Vec<&str> = stages.keys().filter_map(|name| name.strip_suffix("/braid.json")).collect();
        bucket.asked.lock().unwrap().clear();
        run(&bucket, &spec, 2).unwrap();
        alone(&bucket, "out", &expected, &format!("after {writes} writes"));
        for stage in finished.iter().filter(|stage| !stage.starts_with('.')) {
            let again = format!(".out.stages/{stage}/");
            let asked = bucket.asked.lock().unwrap();
            assert!(
                !asked.iter().any(|(asked, path)| *asked == Asked::Put && path.starts_with(&again)),
                "{stage} after {writes}"
            );
        }
        if !dead.load(Ordering::SeqCst) {
            first.unwrap();
            break;
        }
        interrupted += 1;
    }
    assert!(interrupted > 10, "{interrupted}");
}

/// Runs so many tasks.
fn begin(bucket: &Bucket, spec: &Value, count: u32) {
    let worker = worker(bucket);
    let mut tasks = MergeWorkload.plan(spec).unwrap().tasks;
    let context = context(2, 64 << 20);
    for index in 0..count {
        let task = tasks.pop().expect("more tasks");
        let context = TaskContext { task: TaskId { index, ..context.task }, ..context.clone() };
        let value = worker.run(spec, &task, &context).unwrap();
        match MergeWorkload.advance(spec, &Value::Null, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, .. } => tasks.extend(more),
            other => panic!("{other:?} after {index}"),
        }
    }
}

#[test]
fn stages_of_other_inputs_make_way_when_the_place_is_given_up() {
    let house = house();
    let (bucket, job) = (Bucket::new(), spec(&house, 3, "s3://bucket/out"));
    // until the first stage is there, and the next one begun
    let tasks = (2..).find(|tasks| {
        bucket.below("").into_keys().for_each(|name| cloud(&bucket).remove(&format!("s3://bucket/{name}")).unwrap());
        begin(&bucket, &job, *tasks);
        bucket.below(".out.stages").keys().any(|name| name.ends_with("/braid.json"))
    });
    begin(&bucket, &job, tasks.unwrap() + 1);
    // the same headers, other numbers
    write_checkpoint(&house.path().join("b"), &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &super::tensors(9), 2);
    let failure = run(&bucket, &job, 1).unwrap_err();
    assert!(
        failure.message.contains("another merge was begun there and has not ended, or this one with other inputs"),
        "{failure:?}"
    );
    for name in bucket.below(".out.braid").into_keys() {
        cloud(&bucket).remove(&format!("s3://bucket/.out.braid/{name}")).unwrap();
    }
    run(&bucket, &job, 2).unwrap();
    alone(&bucket, "out", &expected(&house, 3), "with other inputs");
    // and a finished merge whose stages go back to other inputs now is another one
    write_checkpoint(&house.path().join("b"), &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &super::tensors(8), 2);
    let failure = run(&bucket, &job, 1).unwrap_err();
    assert!(failure.message.ends_with("holds the result of another merge, or its inputs changed since"), "{failure:?}");
}

#[test]
fn recipes_after_a_stage_may_be_edited_and_the_stage_stays() {
    let house = house();
    let (bucket, job) = (Bucket::new(), spec(&house, 3, "s3://bucket/out"));
    bucket.trouble(|asked, path| (asked == Asked::Put && path.starts_with("out/")).then_some(Trouble::Fails));
    run(&bucket, &job, 1).unwrap_err();
    bucket.trouble(|_, _| None);
    let mut edited = job.clone();
    edited["recipe"] = job["recipe"].as_str().unwrap().replace("{t: 0.3}", "{t: 0.6}").into();
    run(&bucket, &edited, 1).unwrap_err();
    for name in bucket.below(".out.braid").into_keys() {
        cloud(&bucket).remove(&format!("s3://bucket/.out.braid/{name}")).unwrap();
    }
    let stages: Vec<String> = bucket.below(".out.stages").into_keys().collect();
    assert_eq!(stages.iter().filter(|name| name.ends_with("/braid.json")).count(), 2, "{stages:?}");
    bucket.asked.lock().unwrap().clear();
    run(&bucket, &edited, 1).unwrap();
    assert_eq!(bucket.count(Asked::Put, ".safetensors") - bucket.count(Asked::Put, "out/model-00001-of-00002.safetensors"), 3);
    assert!(!bucket.below("").keys().any(|name| name.contains(".stages/")), "what nobody uses any more goes too");
}

/// Only what stages and the result read and write is foretold, wherever it is written.
#[test]
fn a_dry_run_foretells_it_and_writes_nothing() {
    let house = house();
    let bucket = Bucket::new();
    let sources = Sources::with(Arc::new(cloud(&bucket)));
    let remote = dry_run_in(&sources, &read_spec(&spec(&house, 3, "s3://bucket/out")).unwrap()).unwrap();
    let local = dry_run_in(&sources, &read_spec(&spec(&house, 3, house.path().join("x").to_str().unwrap())).unwrap()).unwrap();
    assert_eq!(remote.totals(), local.totals());
    let written: Vec<(&str, bool)> = remote.stages.iter().map(|stage| (stage.name.as_str(), stage.written)).collect();
    assert_eq!(written, [("first", true), ("tiles", false), ("second", true)]);
    assert_eq!(bucket.below(""), BTreeMap::new());
}
