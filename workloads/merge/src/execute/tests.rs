//! Whole merges on disk, through the same calls as a coordinator and its workers make.

use super::*;
use crate::{
    spec::MergeSpec,
    step::{Group, Planned},
    testing::{Tensor, context, drive, read_checkpoint, write_checkpoint},
};
use braid_kernels::Dtype;
use braid_workload::{FailureKind, TaskId};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

pub(super) const LINEAR: &str =
    "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: 3}}\n";

/// Two models and a place for the result.
pub(super) struct House(TempDir);

impl House {
    pub(super) fn new() -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        let config = json!({"num_hidden_layers": 2, "torch_dtype": "float32"});
        for (model, seed) in [("a", 1), ("b", 2)] {
            write_checkpoint(&house.path(model), &config, &tensors(seed), 2);
            fs::write(house.path(model).join("tokenizer.json"), format!("\"{model}\"")).unwrap();
            fs::set_permissions(house.path(model).join("tokenizer.json"), fs::Permissions::from_mode(0o400)).unwrap();
        }
        house
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn spec(&self, recipe: &str, out: &str) -> Value {
        let spec = MergeSpec {
            recipe: recipe.into(),
            recipe_file: "recipe.yml".into(),
            directory: self.0.path().to_owned(),
            out: self.path(out),
            max_shard_size: 500_000,
            seed: 0,
            reuse: None,
        };
        serde_json::to_value(spec).unwrap()
    }

    pub(super) fn staging(&self, out: &str) -> PathBuf {
        self.path(&format!(".{out}.braid"))
    }

    /// All files of a result.
    pub(super) fn files(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        fs::read_dir(self.path(out)).unwrap().map(|entry| read(entry.unwrap())).collect()
    }
}

fn tensors(seed: u64) -> Vec<Tensor> {
    let names = [
        "model.embed_tokens.weight",
        "model.layers.0.w",
        "model.layers.0.n",
        "model.layers.1.w",
        "model.layers.1.n",
        "model.norm.weight",
    ];
    let sizes = [90_000, 70_000, 10, 70_000, 10, 10];
    names.iter().zip(sizes).zip(seed * 100..).map(|((name, size), seed)| Tensor::noise(name, Dtype::F32, size, seed)).collect()
}

/// A worker that is asked for one step after another.
pub(super) struct Worker {
    execute: MergeExecute,
    spec: Value,
    context: TaskContext,
}

impl Worker {
    pub(super) fn new(spec: &Value, threads: usize) -> Self {
        Self { execute: MergeExecute::new(), spec: spec.clone(), context: context(threads, 64 << 20) }
    }

    fn run(&self, index: u32, step: &Step) -> Result<Value, Failure> {
        let task = TaskSpec { label: String::new(), payload: step::write(step).unwrap(), demand: Default::default() };
        let context = TaskContext { task: TaskId { index, ..self.context.task }, ..self.context.clone() };
        self.execute.run(&self.spec, &task, &context)
    }

    pub(super) fn plan(&self) -> Planned {
        step::read(&self.run(0, &Step::Plan).unwrap()).unwrap()
    }

    pub(super) fn tensors(&self, plan: &Planned, first: usize, end: usize) -> Result<Value, Failure> {
        self.run(first as u32 + 1, &Step::Tensors { first, end, plan: plan.plan.clone() })
    }

    pub(super) fn publish(&self, plan: &Planned) -> Result<step::Published, Failure> {
        self.run(99, &Step::Publish { plan: plan.plan.clone() }).map(|value| step::read(&value).unwrap())
    }

    /// All steps, as the deciding half orders them.
    pub(super) fn merge(&self) -> Result<braid_workload::JobResult, Failure> {
        drive(&self.execute, &self.spec, &self.context)
    }
}

#[test]
fn a_merge_appears_whole_and_says_what_it_is() {
    let house = House::new();
    fs::create_dir(house.path("out")).unwrap();
    let result = Worker::new(&house.spec(LINEAR, "out"), 2).merge().unwrap();
    let out = house.path("out");
    assert_eq!(result.summary, format!("merged 2 checkpoints into {} (6 tensors, 920.1 kB)", out.display()));

    let merged = read_checkpoint(&out);
    let value = |bytes: &[u8], i: usize| f32::from_le_bytes(bytes[i * 4..][..4].try_into().unwrap());
    let (mut a, mut b) = (tensors(1), tensors(2));
    [&mut a, &mut b].into_iter().for_each(|tensors| tensors.sort_by(|x, y| x.name.cmp(&y.name)));
    for ((merged, a), b) in merged.iter().zip(&a).zip(&b) {
        assert_eq!((&merged.name, &merged.shape), (&a.name, &a.shape));
        for i in (0..a.shape[0] as usize).step_by(997) {
            let expected = (value(&a.bytes, i) + 3.0 * value(&b.bytes, i)) / 4.0;
            assert!((value(&merged.bytes, i) - expected).abs() < 1e-6);
        }
    }

    let files = house.files("out");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let shards = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"];
    let others = ["README.md", "braid-inputs.json", "braid.json", "config.json"];
    assert_eq!(names, [&others[..], &shards, &["model.safetensors.index.json", "tokenizer.json"]].concat());
    assert_eq!(files["tokenizer.json"], b"\"a\"", "the first model is the donor");
    let umask = fs::metadata(out.join("config.json")).unwrap().permissions().mode() & 0o777;
    for name in &names {
        assert_eq!(fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777, umask, "{name}");
    }
    let manifest: Value = serde_json::from_slice(&files["braid.json"]).unwrap();
    for tensor in manifest["tensors"].as_array().unwrap() {
        let of = |tensors: &[Tensor]| {
            let found = tensors.iter().find(|other| tensor["name"] == other.name.as_str()).unwrap();
            json!(blake3::hash(&found.bytes).to_string())
        };
        assert_eq!(tensor["blake3"], of(&merged));
        assert_eq!((&tensor["inputs"][0]["blake3"], &tensor["inputs"][1]["blake3"]), (&of(&a), &of(&b)));
    }
    assert_eq!(result.details["digest"], manifest["digest"]);
    assert!(!house.staging("out").exists());
}

#[test]
fn the_result_does_not_depend_on_threads_tasks_or_their_order() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "one"), 1).merge().unwrap();
    let spec = house.spec(LINEAR, "two");
    let (planner, other) = (Worker::new(&spec, 3), Worker::new(&spec, 2));
    let plan = planner.plan();
    assert_eq!(plan.groups, [Group(0, 6, plan.bytes)]);
    for first in [4, 1, 5, 0, 3, 2] {
        [&planner, &other][first % 2].tensors(&plan, first, first + 1).unwrap();
    }
    other.publish(&plan).unwrap();
    assert_eq!(house.files("one"), house.files("two"));
}

#[test]
fn an_interrupted_merge_goes_on_with_what_is_really_there() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "whole"), 2).merge().unwrap();
    let spec = house.spec(LINEAR, "out");
    let first = Worker::new(&spec, 1);
    let plan = first.plan();
    assert_eq!(plan.reused_tensors, 0);
    first.tensors(&plan, 0, 4).unwrap();
    first.execute.flusher.finish(&house.staging("out")).unwrap();
    drop(first);
    // One tensor's bytes never reached the disk, and the last line of the progress was torn.
    let shard = house.staging("out").join("tree/model-00001-of-00003.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[200_000..204_096].fill(0);
    fs::write(&shard, bytes).unwrap();
    for entry in fs::read_dir(house.staging("out").join("progress")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        fs::write(&path, text.strip_suffix(b"{\"synced\":true}\n").map(|text| &text[..text.len() - 9]).unwrap_or(&text)).unwrap();
    }

    let second = Worker::new(&spec, 2);
    let plan = second.plan();
    assert_eq!(plan.reused_tensors, 2, "of four, one is spoilt and one is not recorded");
    let result = second.merge().unwrap();
    assert!(result.summary.contains(", reusing 2 tensors ("), "{}", result.summary);
    assert_eq!(house.files("whole"), house.files("out"));
}

#[test]
fn a_second_attempt_of_a_task_keeps_what_the_first_had_done() {
    let house = House::new();
    let worker = Worker::new(&house.spec(LINEAR, "out"), 2);
    let plan = worker.plan();
    worker.tensors(&plan, 0, 3).unwrap();
    let again: step::Merged = step::read(&worker.tensors(&plan, 0, 6).unwrap()).unwrap();
    assert_eq!((again.tensors, again.reused), (3, 3));
}

#[test]
fn bytes_that_another_machine_lost_are_merged_again() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "whole"), 2).merge().unwrap();
    let spec = house.spec(LINEAR, "out");
    let (mut other, own) = (Worker::new(&spec, 2), Worker::new(&spec, 2));
    other.execute.boot = "another boot".into();
    let plan = own.plan();
    other.tensors(&plan, 0, 3).unwrap();
    own.tensors(&plan, 3, 6).unwrap();
    [&other, &own].into_iter().for_each(|worker| worker.execute.flusher.finish(&house.staging("out")).unwrap());
    // The other machine loses its power before its pages are written, and what it said about them.
    for entry in fs::read_dir(house.staging("out").join("progress")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("another boot") {
            fs::write(&path, text.replace("{\"synced\":true}\n", "")).unwrap();
        }
    }
    let shard = house.staging("out").join("tree/model-00001-of-00003.safetensors");
    let length = fs::metadata(&shard).unwrap().len();
    let file = fs::File::options().write(true).open(&shard).unwrap();
    file.set_len(300_000).unwrap();
    file.set_len(length).unwrap();
    let published = own.publish(&plan).unwrap();
    assert_eq!(published.repaired_tensors, 2, "those at the end of the shard");
    assert_eq!(house.files("whole"), house.files("out"));
}

#[test]
fn publishing_again_after_a_crash_gives_the_same_files() {
    let house = House::new();
    Worker::new(&house.spec(LINEAR, "whole"), 2).merge().unwrap();
    let merged = |out: &str| {
        let worker = Worker::new(&house.spec(LINEAR, out), 2);
        let plan = worker.plan();
        worker.tensors(&plan, 0, 6).unwrap();
        (worker, plan)
    };
    // Killed while it wrote the files beside the shards.
    let (worker, plan) = merged("early");
    fs::write(house.staging("early").join("tree/braid.json"), "{\"pl").unwrap();
    fs::write(house.staging("early").join("tree/config.json"), "").unwrap();
    worker.publish(&plan).unwrap();
    assert_eq!(house.files("whole"), house.files("early"));
    // Killed after the rename: the job asks once more, or the user does.
    let published = worker.publish(&plan).unwrap();
    assert_eq!((published.tensors, published.digest), (6, None));
    let late: step::Merged = step::read(&worker.tensors(&plan, 0, 6).unwrap()).unwrap();
    assert_eq!(late, step::Merged { tensors: 0, reused: 6, read: 0 });
    assert!(Worker::new(&house.spec(LINEAR, "early"), 1).merge().unwrap().summary.ends_with("early already holds this merge"));
    assert!(!house.staging("early").exists());
    // Somebody else filled the folder meanwhile.
    let (worker, plan) = merged("filled");
    fs::create_dir(house.path("filled")).unwrap();
    fs::write(house.path("filled").join("notes"), "").unwrap();
    let failure = worker.publish(&plan).unwrap_err();
    assert!(failure.message.ends_with("filled: is not empty: it holds \"notes\""), "{failure:?}");
    fs::remove_file(house.path("filled").join("notes")).unwrap();
    worker.publish(&plan).unwrap();
    assert_eq!(house.files("whole"), house.files("filled"));
}

#[test]
fn nothing_is_taken_over_from_inputs_that_were_replaced() {
    let house = House::new();
    let spec = house.spec(LINEAR, "out");
    let replace = |seed| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        write_checkpoint(&house.path("b"), &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &tensors(seed), 2);
    };
    let worker = Worker::new(&spec, 2);
    let plan = worker.plan();
    worker.tensors(&plan, 0, 6).unwrap();
    replace(5);
    let failure = worker.tensors(&plan, 0, 6).unwrap_err();
    assert_eq!((failure.kind, failure.hint.as_deref()), (FailureKind::Fatal, Some("start the merge again")));
    assert!(failure.message.contains("/b/model-00001-of-00002.safetensors: changed since the merge was planned"), "{failure:?}");
    assert_eq!(worker.plan().reused_tensors, 0, "the headers are the same, the bytes are not");
    worker.merge().unwrap();
    replace(6);
    let failure = worker.merge().unwrap_err();
    assert!(failure.message.contains("out: is not empty: it holds the result of another merge, or its inputs changed since"));
}

#[test]
fn a_planner_waits_for_whoever_has_not_said_what_it_makes() {
    let house = House::new();
    let worker = Worker::new(&house.spec(LINEAR, "out"), 2);
    let folder = worker.execute.open(&worker.spec, &worker.context).unwrap().output.staging().to_owned();
    fs::create_dir(&folder).unwrap();
    let lock = fs::File::create(folder.join("lock")).unwrap();
    lock.lock_shared().unwrap();
    let other = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(lock);
    });
    assert_eq!(worker.plan().reused_tensors, 0);
    other.join().unwrap();
}

#[test]
fn another_merge_in_the_same_place_starts_afresh_unless_it_runs() {
    let house = House::new();
    let other = LINEAR.replace("weight: 3", "weight: 2");
    let (first, second) = (Worker::new(&house.spec(LINEAR, "out"), 2), Worker::new(&house.spec(&other, "out"), 2));
    let plan = first.plan();
    first.tensors(&plan, 0, 6).unwrap();
    let opened = first.execute.open(&first.spec, &first.context).unwrap();
    let running = opened.output.open(&opened.record).unwrap();
    let failure = second.run(0, &Step::Plan).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Retry);
    assert!(failure.message.ends_with(".out.braid: another merge is writing there"), "{failure:?}");
    drop(running);
    assert_eq!(second.plan().reused_tensors, 0);
    let failure = first.publish(&plan).unwrap_err();
    assert!(failure.message.ends_with(".out.braid: changed since the merge was planned"), "{failure:?}");
    second.merge().unwrap();
}

#[test]
fn what_is_wrong_leaves_nothing_behind() {
    let nan = |house: &House| {
        let mut tensors = tensors(2);
        tensors[1].bytes[40_000..40_004].copy_from_slice(&f32::NAN.to_le_bytes());
        write_checkpoint(&house.path("b"), &json!({}), &tensors, 2);
    };
    type Spoil = fn(&House);
    let cases: [(Spoil, &str); 6] = [
        (|house| fs::remove_dir_all(house.path("b")).unwrap(), "model `b` is not there"),
        (|house| fs::remove_file(house.path("b/config.json")).unwrap(), "/b: has no config.json"),
        (
            |house| fs::write(house.path("b/model-00002-of-00002.safetensors"), "").unwrap(),
            "00002-of-00002.safetensors: is 0 bytes long",
        ),
        (|house| fs::create_dir_all(house.path("out/sub")).unwrap(), "/out: is not empty: it holds \"sub\""),
        (|house| fs::write(house.path("out"), "").unwrap(), "/out: is a file, not a folder"),
        (|house| write_checkpoint(&house.path("b"), &json!({}), &tensors(2)[1..], 2), "embed_tokens"),
    ];
    for (spoil, expected) in cases {
        let house = House::new();
        spoil(&house);
        let failure = Worker::new(&house.spec(LINEAR, "out"), 2).merge().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Fatal);
        assert!(failure.message.contains(expected), "{failure:?}");
        assert!(!house.staging("out").exists());
    }
    let house = House::new();
    nan(&house);
    let failure = Worker::new(&house.spec(LINEAR, "out"), 2).merge().unwrap_err();
    let expected = "tensor \"model.layers.0.w\": element 10000 of the result is not a number: model b holds NaN there";
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Fatal, expected));
    assert!(!house.path("out").exists());
}

#[test]
fn a_full_disk_is_told_with_its_file_and_may_pass() {
    let file = crate::output::ShardFile::open(Path::new("/dev/full")).unwrap();
    let failure = Failure::from(file.write_at(b"bytes", 0).unwrap_err());
    assert_eq!(failure.kind, FailureKind::Retry);
    assert_eq!(failure.message, "cannot write /dev/full: No space left on device (os error 28)");
    assert!(failure.hint.unwrap().starts_with("free some space and run the same merge again"));
}

#[test]
fn cancelling_ends_a_task_and_what_is_done_stays() {
    let house = House::new();
    let worker = Worker::new(&house.spec(LINEAR, "out"), 2);
    let plan = worker.plan();
    worker.tensors(&plan, 0, 2).unwrap();
    worker.context.cancel.cancel();
    assert_eq!(worker.tensors(&plan, 0, 6).unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(Worker::new(&worker.spec, 1).plan().reused_tensors, 2);
}

#[test]
fn too_little_memory_is_told_before_anything_is_written() {
    let house = House::new();
    let mut worker = Worker::new(&house.spec(LINEAR, "out"), 2);
    worker.context.memory = 1 << 20;
    let failure = worker.run(0, &Step::Plan).unwrap_err();
    assert_eq!(failure.message, "the merge needs 1572864 bytes of memory at least, but its worker may use only 1048576");
    assert!(!house.staging("out").exists());
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let house = House::new();
    let spec = |out: &str| step::read(&house.spec(LINEAR, out)).unwrap();
    let before = fs::read_dir(house.0.path()).unwrap().count();
    let plan = crate::dry_run(&spec("out")).unwrap();
    assert_eq!((plan.summary.tensors, plan.summary.bytes_out, plan.memory), (6, 920_120, 24 * 65_536));
    let names: Vec<_> = plan.shards.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names.len(), names[2]), (3, "model-00003-of-00003.safetensors"));
    assert_eq!(fs::read_dir(house.0.path()).unwrap().count(), before);
    let text = crate::dry_run(&spec("a")).unwrap_err().to_string();
    assert!(text.contains("/a: is not empty: it holds \"config.json\""), "{text}");
}

/// One was given up, as its worker had been stopped, and goes on.
#[test]
fn of_two_attempts_that_publish_at_once_both_find_the_result() {
    for round in 0..20 {
        let house = House::new();
        let spec = house.spec(LINEAR, "out");
        let workers = [Worker::new(&spec, 1), Worker::new(&spec, 1)];
        let plan = workers[0].plan();
        workers[0].tensors(&plan, 0, 6).unwrap();
        std::thread::scope(|scope| {
            let attempts = workers.each_ref().map(|worker| scope.spawn(|| worker.publish(&plan)));
            for attempt in attempts {
                let published = attempt.join().unwrap();
                assert!(published.is_ok(), "round {round}: {published:?}");
            }
        });
        assert!(house.files("out").contains_key("braid.json"));
        assert!(!house.staging("out").exists(), "round {round}");
    }
}

/// As when a worker that stood still wakes, and another has published what it was writing meanwhile.
#[test]
fn what_a_flush_of_another_merge_met_fails_no_merge() {
    let house = House::new();
    let [of_this, of_other] = ["out", "other"].map(|out| house.spec(LINEAR, out));
    let worker = Worker::new(&of_other, 1);
    worker.plan();
    let flusher = &worker.execute.flusher;
    let gone = house.staging("other").join("tree/gone.safetensors");
    let lost = |name: &str| crate::output::Progress::create(house.path(name), "boot").unwrap();
    flusher.start(&house.staging("other"), vec![gone.clone()], lost("1.jsonl")).unwrap();
    let next = Worker { spec: of_this, ..worker };
    next.merge().unwrap();
    let flusher = &next.execute.flusher;
    flusher.start(&house.staging("other"), vec![gone], lost("2.jsonl")).unwrap();
    assert!(flusher.finish(&house.staging("other")).is_err(), "its own merge is told");
}
