//! Taking tensors from an earlier result that lies in a bucket.

use super::{
    LARGE, house,
    results::{cloud, folder, run, worker},
    tensors,
};
use crate::{
    MergeWorkload,
    checkpoint::Store,
    cloud::bucket::{Asked, Bucket},
    step::{Merged, Published, read},
    testing::{context, write_checkpoint},
};
use braid_workload::{Advance, Execute, Workload};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

const RECIPE: &str = "merge_method: linear
models:
- {model: a, parameters: {weight: [{filter: layers.1., value: LAYER}, {value: 3}]}}
- {model: b, parameters: {weight: 1}}
";

fn spec(house: &TempDir, layer: u32, out: &str, reuse: Option<&str>) -> Value {
    let mut spec = crate::testing::spec(house.path(), &RECIPE.replace("LAYER", &layer.to_string()), "out");
    spec["max_shard_size"] = (4 * LARGE + 64).into();
    spec["out"] = out.into();
    spec["reuse"] = reuse.map_or(Value::Null, Value::from);
    spec
}

/// As if the merge had begun a while after its inputs were written.
fn settle(bucket: &Bucket, out: &str) {
    let text = bucket.below(out).remove("braid-inputs.json").unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    cloud(bucket).write_dated(&format!("s3://bucket/{out}/braid-inputs.json"), text, later).unwrap();
}

/// Merges; says how many tensors were taken and how many bytes of inputs were read.
fn merge(bucket: &Bucket, spec: &Value) -> (usize, u64) {
    let (worker, mut tasks, mut bytes) = (worker(bucket), MergeWorkload.plan(spec).unwrap().tasks, 0);
    loop {
        let task = tasks.pop().expect("a task, or the end");
        let value = worker.run(spec, &task, &context(2, 64 << 20)).unwrap();
        bytes += read::<Merged>(&value).map_or(0, |merged| merged.read);
        match MergeWorkload.advance(spec, &Value::Null, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, .. } => tasks.extend(more),
            Advance::Finished(_) => return (read::<Published>(&value).unwrap().taken.unwrap().tensors, bytes),
            Advance::Failed(failure) => panic!("{failure:?}"),
        }
    }
}

/// Both inputs of a layer, and of everything.
const LAYER: u64 = 2 * 4 * LARGE;
const ALL: u64 = 3 * LAYER + 2 * 4 * 10;

#[test]
fn only_what_would_come_out_otherwise_is_computed() {
    let house = house();
    let bucket = Bucket::new();
    run(&bucket, &spec(&house, 3, "s3://bucket/first", None), 2).unwrap();
    settle(&bucket, "first");
    let fresh = house.path().join("fresh");
    run(&bucket, &spec(&house, 2, fresh.to_str().unwrap(), None), 2).unwrap();
    // into the bucket, and into a folder
    let local = house.path().join("local");
    for out in ["s3://bucket/second", local.to_str().unwrap()] {
        assert_eq!(merge(&bucket, &spec(&house, 2, out, Some("s3://bucket/first"))), (3, LAYER), "{out}");
    }
    let fresh = folder(&fresh);
    let but_date = |mut files: BTreeMap<String, Vec<u8>>| files.remove("braid-inputs.json").map(|_| files);
    assert_eq!(but_date(bucket.below("second")), but_date(fresh.clone()));
    assert_eq!(but_date(folder(&local)), but_date(fresh));
    // and from a result that took some itself
    settle(&bucket, "second");
    assert_eq!(merge(&bucket, &spec(&house, 2, "s3://bucket/third", Some("s3://bucket/second"))), (4, 0));
    assert_eq!(but_date(bucket.below("third")), but_date(bucket.below("second")));
}

#[test]
fn inputs_that_may_have_changed_are_read_and_compared() {
    let house = house();
    let bucket = Bucket::new();
    run(&bucket, &spec(&house, 3, "s3://bucket/first", None), 1).unwrap();
    // written just before the merge began
    assert_eq!(merge(&bucket, &spec(&house, 3, "s3://bucket/unsettled", Some("s3://bucket/first"))), (4, ALL));
    // a copy of the result that has lost its time
    let first = bucket.below("first");
    first.iter().for_each(|(name, bytes)| cloud(&bucket).write(&format!("s3://bucket/copy/{name}"), bytes.clone()).unwrap());
    assert_eq!(merge(&bucket, &spec(&house, 3, "s3://bucket/from-copy", Some("s3://bucket/copy"))), (4, ALL));
    // another model
    settle(&bucket, "first");
    write_checkpoint(&house.path().join("b"), &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &tensors(9), 2);
    assert_eq!(merge(&bucket, &spec(&house, 3, "s3://bucket/other", Some("s3://bucket/first"))).0, 0);
}

#[test]
fn what_is_not_as_it_was_written_is_computed_anew() {
    let house = house();
    let bucket = Bucket::new();
    run(&bucket, &spec(&house, 3, "s3://bucket/first", None), 1).unwrap();
    settle(&bucket, "first");
    let mut shard = bucket.below("first").remove("model-00002-of-00003.safetensors").unwrap();
    *shard.last_mut().unwrap() ^= 1;
    cloud(&bucket).write("s3://bucket/first/model-00002-of-00003.safetensors", shard).unwrap();
    let (taken, read) = merge(&bucket, &spec(&house, 3, "s3://bucket/second", Some("s3://bucket/first")));
    assert!(taken < 4 && read > 0, "{taken} {read}");
    let expected = house.path().join("fresh");
    run(&bucket, &spec(&house, 3, expected.to_str().unwrap(), None), 1).unwrap();
    let tensors = |files: BTreeMap<String, Vec<u8>>| {
        files.into_iter().filter(|(name, _)| name.ends_with(".safetensors")).collect::<Vec<_>>()
    };
    assert!(tensors(bucket.below("second")) == tensors(folder(&expected)));
}

#[test]
fn what_is_no_result_is_told() {
    let house = house();
    let bucket = Bucket::new();
    bucket.set("models/config.json", "{}");
    let failure = run(&bucket, &spec(&house, 3, "s3://bucket/out", Some("s3://bucket/models")), 1).unwrap_err();
    assert!(
        failure.message.ends_with("s3://bucket/models/braid.json: is not there, so there is nothing to reuse"),
        "{failure:?}"
    );
    assert_eq!(bucket.count(Asked::Create, "plan.json"), 0);
}
