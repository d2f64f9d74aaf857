//! Results in a bucket: the bytes of those in folders, wherever the merge was interrupted, and nothing of them taken for whole before
//! it is.

use super::{LARGE, house, limits, tensors};
use crate::{
    MergeExecute, MergeWorkload,
    checkpoint::{Sources, Store, Upload},
    cloud::{
        Room,
        bucket::{Asked, Bucket, Trouble},
        connect::Environment,
        store::Cloud,
    },
    dry_run::dry_run_in,
    testing::{context, write_checkpoint},
    workload::read_spec,
};
use braid_workload::{Advance, Execute, Failure, JobResult, TaskId, Workload};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

/// So that there are several shards.
const SHARD: u64 = 4 * LARGE + 64;

fn spec(house: &TempDir, weight: u32, out: &str) -> Value {
    let recipe = format!(
        "merge_method: linear\nmodels:\n- {{model: a, parameters: {{weight: {weight}}}}}\n- {{model: b, parameters: {{weight: 1}}}}\n"
    );
    let mut spec = crate::testing::spec(house.path(), &recipe, "out");
    spec["max_shard_size"] = SHARD.into();
    spec["out"] = out.into();
    spec
}

pub(super) fn cloud(bucket: &Bucket) -> Cloud {
    Cloud::new(Room::LEAST, limits(), Environment { bucket: Some(bucket.clone()), ..Environment::default() })
}

pub(super) fn worker(bucket: &Bucket) -> MergeExecute {
    let bucket = bucket.clone();
    MergeExecute::new().reading(move |_| Sources::with(Arc::new(cloud(&bucket))))
}

/// Runs a job on so many workers, task by task.
pub(super) fn run(bucket: &Bucket, spec: &Value, workers: usize) -> Result<JobResult, Failure> {
    let workers: Vec<MergeExecute> = (0..workers).map(|_| worker(bucket)).collect();
    let mut tasks: VecDeque<_> = MergeWorkload.plan(spec).unwrap().tasks.into();
    let context = context(2, 64 << 20);
    for index in 0.. {
        let task = tasks.pop_front().expect("a task, or the end");
        let context = braid_workload::TaskContext { task: TaskId { index, ..context.task }, ..context.clone() };
        let value = workers[index as usize % workers.len()].run(spec, &task, &context)?;
        match MergeWorkload.advance(spec, &Value::Null, &task, &value, tasks.len()).unwrap() {
            Advance::Continue { tasks: more, .. } => tasks.extend(more),
            Advance::Finished(result) => return Ok(result),
            Advance::Failed(failure) => return Err(failure),
        }
    }
    unreachable!()
}

pub(super) fn folder(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(path).unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// The result in a folder.
fn expected(house: &TempDir) -> BTreeMap<String, Vec<u8>> {
    let out = house.path().join("local");
    if !out.exists() {
        run(&Bucket::new(), &spec(house, 3, out.to_str().unwrap()), 1).unwrap();
    }
    folder(&out)
}

#[test]
fn a_result_in_a_bucket_has_the_bytes_of_one_in_a_folder() {
    let house = house();
    let expected = expected(&house);
    assert!(expected.contains_key("model.safetensors.index.json"), "several shards");
    for workers in 1..=3 {
        let bucket = Bucket::new();
        let done = run(&bucket, &spec(&house, 3, "s3://bucket/models/out"), workers).unwrap();
        assert!(done.summary.starts_with("merged 2 checkpoints into s3://bucket/models/out (4 tensors, "), "{}", done.summary);
        assert_eq!(bucket.below("models/out"), expected, "{workers} workers");
        assert_eq!(bucket.below("models/.out.braid"), BTreeMap::new());
        let asked = bucket.asked.lock().unwrap().clone();
        let last = asked.iter().rposition(|(asked, path)| *asked == Asked::Put && path.starts_with("models/out/")).unwrap();
        assert_eq!(asked[last].1, "models/out/braid.json", "the manifest comes last");
    }
}

#[test]
fn wherever_it_is_interrupted_it_ends_the_same_and_sends_no_shard_twice() {
    let house = house();
    let (expected, spec) = (expected(&house), spec(&house, 3, "s3://bucket/out"));
    let mut interrupted = 0;
    for writes in 0.. {
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
        let finished: Vec<String> = bucket.below(".out.braid/done").into_keys().collect();
        bucket.asked.lock().unwrap().clear();
        let second = run(&bucket, &spec, 2).unwrap();
        assert_eq!(bucket.below("out"), expected, "after {writes} writes");
        assert_eq!(bucket.below(".out.braid"), BTreeMap::new(), "after {writes} writes");
        if there != expected {
            interrupted += 1;
            let shards = finished.iter().map(|name| name.strip_suffix(".json").unwrap());
            shards.for_each(|shard| assert_eq!(bucket.count(Asked::Put, &format!("out/{shard}")), 0, "{shard} after {writes}"));
            assert_eq!(second.summary.contains("of an interrupted run"), !finished.is_empty(), "{}", second.summary);
        } else {
            assert_eq!(second.summary, "s3://bucket/out already holds this merge");
        }
        if !dead.load(Ordering::SeqCst) {
            first.unwrap();
            break;
        }
    }
    assert!(interrupted > 8, "{interrupted}");
}

#[test]
fn a_place_that_is_taken_is_refused_as_a_folder_is() {
    let house = house();
    let refused = |bucket: &Bucket, spec: &Value| {
        let before = bucket.below("");
        let failure = run(bucket, spec, 1).unwrap_err();
        assert_eq!(bucket.below(""), before, "nothing is left behind");
        let error = dry_run_in(&Sources::with(Arc::new(cloud(bucket))), &read_spec(spec).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), failure.message, "a dry run says the same");
        failure.message
    };
    let bucket = Bucket::new();
    let (ours, other) = (spec(&house, 3, "s3://bucket/out"), spec(&house, 2, "s3://bucket/out"));
    bucket.set("out/notes.txt", "mine");
    assert_eq!(refused(&bucket, &ours), "output s3://bucket/out: is not empty: it holds \"notes.txt\"");

    let bucket = Bucket::new();
    bucket.set("out/below/notes.txt", "mine");
    dry_run_in(&Sources::with(Arc::new(cloud(&bucket))), &read_spec(&ours).unwrap()).unwrap();
    assert_eq!(bucket.below("").len(), 1, "a dry run writes nothing");
    run(&bucket, &ours, 1).unwrap();
    assert_eq!(run(&bucket, &ours, 1).unwrap().summary, "s3://bucket/out already holds this merge");
    assert!(refused(&bucket, &other).ends_with("holds the result of another merge, or its inputs changed since"));
    // the same recipe and headers, but other bytes
    write_checkpoint(&house.path().join("b"), &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &tensors(9), 2);
    assert!(refused(&bucket, &ours).ends_with("holds the result of another merge, or its inputs changed since"));
}

#[test]
fn a_merge_that_was_begun_is_left_alone_by_others() {
    let house = house();
    let bucket = Bucket::new();
    bucket.trouble(|asked, path| (asked == Asked::Put && path.starts_with("out/")).then_some(Trouble::Fails));
    run(&bucket, &spec(&house, 3, "s3://bucket/out"), 1).unwrap_err();
    bucket.trouble(|_, _| None);
    let failure = run(&bucket, &spec(&house, 2, "s3://bucket/out"), 1).unwrap_err();
    assert!(failure.message.starts_with("output s3://bucket/out: another merge was begun there"), "{failure:?}");
    assert!(failure.message.ends_with("s3://bucket/.out.braid/plan.json"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("remove both folders"));
}

#[test]
fn a_shard_that_is_not_what_was_sent_is_made_again() {
    let house = house();
    let (bucket, spec) = (Bucket::new(), spec(&house, 3, "s3://bucket/out"));
    bucket.trouble(|asked, path| (asked == Asked::Put && path.ends_with("config.json")).then_some(Trouble::Fails));
    run(&bucket, &spec, 1).unwrap_err();
    bucket.trouble(|_, _| None);
    bucket.set("out/model-00001-of-00003.safetensors", "another one");
    let done = run(&bucket, &spec, 1).unwrap();
    assert!(done.summary.contains("reusing 3 tensors"), "{}", done.summary);
    assert_eq!(bucket.below("out"), expected(&house));
}

#[test]
fn a_task_asks_little() {
    let house = house();
    let bucket = Bucket::new();
    run(&bucket, &spec(&house, 3, "s3://bucket/out"), 1).unwrap();
    let shards = bucket.below("out").keys().filter(|name| name.ends_with(".safetensors")).count();
    // once a task: those that plan, merge and publish
    assert_eq!((bucket.count(Asked::Get, ".braid/plan.json"), bucket.count(Asked::List, ".braid/done")), (3, 3 + 1));
    // a shard when it has been sent, and when all are to be there
    assert_eq!((bucket.count(Asked::Put, ".safetensors"), bucket.count(Asked::Head, ".safetensors")), (shards, 2 * shards));
    assert_eq!((bucket.count(Asked::Put, ".safetensors.json"), bucket.count(Asked::Get, ".safetensors.json")), (shards, shards));
    assert_eq!(bucket.count(Asked::List, "out"), 1);
}

#[test]
fn a_store_without_conditions_is_told_with_what_to_do() {
    let house = house();
    let bucket = Bucket::new();
    bucket.trouble(|asked, _| (asked == Asked::Create).then_some(Trouble::Unknown));
    let failure = run(&bucket, &spec(&house, 3, "s3://bucket/out"), 1).unwrap_err();
    assert!(failure.message.starts_with("cannot create s3://bucket/.out.braid/plan.json: "), "{failure:?}");
    assert!(failure.hint.unwrap().contains("If-None-Match"));
    assert_eq!(bucket.count(Asked::Create, "plan.json"), 1, "another try will not help");
    assert_eq!(bucket.below(""), BTreeMap::new());
}

/// Three parts, the last one short.
const BYTES: u64 = (32 << 20) + 5;

fn send(bucket: &Bucket, memory: u64, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Vec<u8>, crate::MergeError> {
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..BYTES).map(|at| (at * 7 / 5) as u8).collect();
    file.write_all(&bytes).unwrap();
    let written = cloud(bucket).upload("s3://bucket/big", &Upload { file: &file, bytes: BYTES, memory, cancelled })?;
    assert_eq!(written.bytes, BYTES);
    assert!(written.tag.is_some());
    let there = bucket.below("").remove("big").unwrap();
    assert!(there == bytes, "other bytes");
    Ok(there)
}

#[test]
fn a_large_object_is_sent_in_parts_that_are_tried_again_by_themselves() {
    let bucket = Bucket::new();
    let failed = AtomicUsize::new(0);
    bucket.trouble(move |asked, _| match asked {
        Asked::Part if failed.fetch_add(1, Ordering::SeqCst) < 2 => Some(Trouble::Lost),
        _ => None,
    });
    send(&bucket, 64 << 20, &|| false).unwrap();
    assert_eq!((bucket.count(Asked::Begin, "big"), bucket.count(Asked::Part, "big")), (1, 3 + 2));
    // an answer that is lost when all is done
    let bucket = Bucket::new();
    let lost = AtomicBool::new(false);
    bucket.trouble(move |asked, _| (asked == Asked::Complete && !lost.swap(true, Ordering::SeqCst)).then_some(Trouble::Lost));
    send(&bucket, 64 << 20, &|| false).unwrap();
    assert_eq!((bucket.count(Asked::Complete, "big"), bucket.count(Asked::Abort, "big")), (2, 0));
}

#[test]
fn parts_under_way_fit_the_memory() {
    for (memory, most) in [(0, 1), (16 << 20, 1), (33 << 20, 2)] {
        let bucket = Bucket::new();
        send(&bucket, memory, &|| false).unwrap();
        assert!(bucket.at_once.load(Ordering::SeqCst) <= most, "{memory}");
    }
}

#[test]
fn an_upload_that_fails_or_is_given_up_is_aborted() {
    let bucket = Bucket::new();
    bucket.trouble(|asked, _| (asked == Asked::Part).then_some(Trouble::Fails));
    let text = send(&bucket, 16 << 20, &|| false).unwrap_err().to_string();
    assert!(text.starts_with("cannot write s3://bucket/big: ") && text.ends_with("; tried 3 times"), "{text}");
    assert_eq!((bucket.count(Asked::Part, "big"), bucket.count(Asked::Abort, "big")), (3, 1));
    assert!(bucket.open.lock().unwrap().is_empty());

    let bucket = Bucket::new();
    let sent = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&sent);
    bucket.trouble(move |asked, _| {
        seen.fetch_or(asked == Asked::Part, Ordering::SeqCst);
        // goes on failing until it is cancelled
        (asked == Asked::Part).then_some(Trouble::Fails)
    });
    let error = send(&bucket, 16 << 20, &|| sent.load(Ordering::SeqCst));
    assert!(error.is_err());
    assert!(bucket.open.lock().unwrap().is_empty());
    assert_eq!(bucket.below(""), BTreeMap::new());
    let error = send(&bucket, 16 << 20, &|| true).unwrap_err();
    assert!(matches!(error, crate::MergeError::Cancelled), "{error}");
}
