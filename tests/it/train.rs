//! A training by real processes: a gang of workers over TCP, and `kill -9` in the middle of it.

use crate::{
    harness::{Coordinator, CoordinatorSetup, Run, Scratch, Worker, braid, eventually},
    see,
};
use rustix::process::Signal;
use std::{fs, thread, time::Duration};

const SPEC: &str = "
documents: [texts]
context: 256
model: { width: 16, heads: 2, head_dim: 8, mlp_width: 24, layers: [gla, softmax] }
ranks: 2
tokens_per_rank: 256
steps: STEPS
sequences_per_step: 4
checkpoint_every: 5
optimizer: { lr: 1e-2, warmup: 3 }
";

/// A folder with documents of unequal length and a spec.
fn training(steps: u64) -> Scratch {
    let scratch = Scratch::new();
    let text = "five quacking zephyrs jolt my wax bed; how vexingly quick daft zebras jump. ";
    fs::create_dir(scratch.path().join("texts")).unwrap();
    for (number, length) in [900, 40, 120, 260, 15, 500].into_iter().enumerate() {
        let document: String = text.chars().cycle().skip(number * 7).take(length).collect();
        fs::write(scratch.path().join(format!("texts/{number}.txt")), document).unwrap();
    }
    scratch.write("train.yml", SPEC.replace("STEPS", &steps.to_string()));
    scratch
}

fn losses(scratch: &Scratch, out: &str) -> String {
    fs::read_to_string(scratch.path().join(out).join("losses.jsonl")).unwrap_or_default()
}

fn train_here(scratch: &Scratch, out: &str) -> Run {
    braid(scratch.path(), ["train", "train.yml", out])
}

#[test]
fn a_gang_of_workers_trains_as_the_threads_of_one_process_do() {
    let scratch = training(12);
    let here = train_here(&scratch, "here").ok();
    assert!(here.stdout.starts_with("trained 12 steps") && here.stderr.contains("step 11: loss"), "{here:?}");
    let coordinator = Coordinator::spawn(None);
    let _workers = [Worker::spawn(coordinator.address()), Worker::spawn(coordinator.address())];
    coordinator.wait_for_nodes(2);
    coordinator.braid_in(scratch.path(), ["train", "train.yml", "fleet"]).ok();
    assert_eq!(losses(&scratch, "here"), losses(&scratch, "fleet"), "the same losses, to the last digit");
    let model = |out: &str| fs::read(scratch.path().join(out).join("model.safetensors")).unwrap();
    assert!(model("here") == model("fleet"), "the same model, to the last bit");
}

#[test]
fn a_killed_worker_costs_the_steps_since_the_last_checkpoint_and_nothing_else() {
    let scratch = training(60);
    train_here(&scratch, "whole").ok();
    let setup = CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() };
    let coordinator = Coordinator::start(setup);
    let mut workers = [Worker::spawn(coordinator.address()), Worker::spawn(coordinator.address())];
    coordinator.wait_for_nodes(2);
    let job = coordinator.braid_in(scratch.path(), ["train", "train.yml", "out", "--detach"]).ok().stdout;
    for (worker, steps) in [(0, 8), (1, 23)] {
        eventually("steps", || (losses(&scratch, "out").lines().count() >= steps).then_some(()));
        workers[worker].restart();
    }
    coordinator.braid(["job", "wait", job.trim()]).ok();
    let log = coordinator.braid(["job", "logs", job.trim()]).ok().stdout;
    assert!(log.contains("going on from checkpoint-"), "nothing was interrupted: {log}");
    assert_eq!(losses(&scratch, "whole"), losses(&scratch, "out"), "the same losses, to the last digit");
}

#[test]
fn a_worker_killed_inside_a_collective_ends_it_for_the_others_and_the_job_goes_on() {
    let scratch = training(40);
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    scratch.write("train.yml", spec.replace("ranks: 2", "ranks: 3"));
    train_here(&scratch, "whole").ok();
    let coordinator = Coordinator::spawn(None);
    let mut workers = [0; 3].map(|_| Worker::spawn(coordinator.address()));
    coordinator.wait_for_nodes(3);
    let job = coordinator.braid_in(scratch.path(), ["train", "train.yml", "out", "--detach"]).ok().stdout;
    eventually("steps", || (losses(&scratch, "out").lines().count() >= 7).then_some(()));
    // While one rank stands still, the two others can only be inside a collective.
    workers[2].process().signal(Signal::STOP);
    thread::sleep(Duration::from_millis(300));
    let done = losses(&scratch, "out").lines().count();
    workers[0].kill9();
    workers[2].process().signal(Signal::CONT);
    assert!(done < 40, "the training had ended before anything was killed");
    workers[0].restart();
    coordinator.braid(["job", "wait", job.trim()]).ok();
    let log = coordinator.braid(["job", "logs", job.trim()]).ok().stdout;
    assert!(log.contains("going on from checkpoint-"), "nothing was interrupted: {log}");
    assert_eq!(losses(&scratch, "whole"), losses(&scratch, "out"), "the same losses, to the last digit");
    let model = |out: &str| fs::read(scratch.path().join(out).join("model.safetensors")).unwrap();
    assert!(model("whole") == model("out"), "the same model, to the last bit");
}

#[test]
fn a_killed_coordinator_costs_nothing_but_time() {
    let scratch = training(60);
    train_here(&scratch, "whole").ok();
    let mut coordinator = Coordinator::spawn(None);
    let _workers = [Worker::spawn(coordinator.address()), Worker::spawn(coordinator.address())];
    coordinator.wait_for_nodes(2);
    let job = coordinator.braid_in(scratch.path(), ["train", "train.yml", "out", "--detach"]).ok().stdout;
    eventually("steps", || (losses(&scratch, "out").lines().count() >= 8).then_some(()));
    coordinator.restart();
    coordinator.braid(["job", "wait", job.trim()]).ok();
    assert_eq!(losses(&scratch, "whole"), losses(&scratch, "out"), "the same losses, to the last digit");
}

#[test]
fn a_training_on_the_tokens_of_a_tokenizer_gives_a_checkpoint_that_other_tools_read() {
    let scratch = training(6);
    let tokenizer = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/experts/base/tokenizer.json");
    fs::copy(&tokenizer, scratch.path().join("tokenizer.json")).unwrap();
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap() + "tokens: tokenizer.json\n";
    scratch.write("train.yml", &spec);
    scratch.write("other.yml", spec + "seed: 5\n");
    let run = train_here(&scratch, "a").ok();
    assert!(run.stdout.contains("nats a token"), "{run}");
    braid(scratch.path(), ["train", "other.yml", "b"]).ok();
    assert!(fs::read(&tokenizer).unwrap() == fs::read(scratch.path().join("a/tokenizer.json")).unwrap());
    // Two trainings of one shape can be merged: configuration, tensors and tokenizer are where a checkpoint has them.
    scratch.write(
        "merge.yml",
        "merge_method: linear\nmodels: [{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: 0.5}}]\n",
    );
    braid(scratch.path(), ["merge", "merge.yml", "merged"]).ok();
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(scratch.path().join("merged/config.json")).unwrap()).unwrap();
    assert_eq!((&config["vocab_size"], &config["hidden_size"]), (&1024.into(), &16.into()));
    assert!(scratch.path().join("merged/tokenizer.json").exists());
}

#[test]
fn a_gang_that_the_fleet_cannot_hold_says_what_it_waits_for() {
    let scratch = training(5);
    let coordinator = Coordinator::spawn(None);
    let _worker = Worker::spawn(coordinator.address());
    coordinator.wait_for_nodes(1);
    let job = coordinator.braid_in(scratch.path(), ["train", "train.yml", "out", "--detach"]).ok().stdout;
    let show = eventually("a reason", || {
        let show = coordinator.braid(["job", "show", job.trim()]).ok().stdout;
        show.contains("gang").then_some(show)
    });
    assert!(show.contains("a gang of 2 needs 2 threads"), "{show}");
}

#[test]
fn a_profile_is_measured_and_taken_by_the_planner() {
    let scratch = training(3);
    let measured = braid(scratch.path(), ["profile", "train.yml", "profile.yml"]).ok();
    assert!(measured.stdout.starts_with("measured") && measured.stdout.contains("off on average"), "{measured:?}");
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap() + "profile: profile.yml\n";
    scratch.write("train.yml", spec);
    train_here(&scratch, "out").ok();
}

#[test]
fn what_is_wrong_with_a_spec_is_said_before_anything_runs() {
    let scratch = training(3);
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    scratch.write("unigram.json", r#"{"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 0}}"#);
    scratch.write("broken.json", r#"{"version": "1.0", "mod"#);
    let refused = |from: &str, to: &str| {
        assert!(spec.contains(from));
        scratch.write("bad.yml", spec.replace(from, to));
        let run = braid(scratch.path(), ["train", "bad.yml", "bad"]);
        assert!(!scratch.path().join("bad").exists());
        run
    };
    see!(scratch, refused("gla, softmax", "gla, transformer"), @"");
    see!(scratch, refused("context: 256", "context: 2560"), @"");
    see!(scratch, refused("steps: 3", "steps: 0"), @"");
    see!(scratch, refused("steps: 3", "stepz: 3"), @"");
    see!(scratch, refused("context: 256", "context: long"), @"");
    see!(scratch, refused("tokens_per_rank: 256\n", ""), @"");
    see!(scratch, refused("heads: 2", "heads: 0"), @"");
    see!(scratch, refused("lr: 1e-2", "lr: .nan"), @"");
    see!(scratch, refused("context: 256", "context: 256\ntokens: nowhere.json"), @"");
    see!(scratch, refused("context: 256", "context: 256\ntokens: broken.json"), @"");
    see!(scratch, refused("context: 256", "context: 256\ntokens: unigram.json"), @"");
    see!(scratch, braid(scratch.path(), ["train", "nowhere.yml", "bad"]), @"");
}

#[test]
fn what_is_wrong_with_documents_fails_the_job() {
    let scratch = training(3);
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    scratch.write("lines.jsonl", "{\"text\": \"good\"}\n{\"txet\": \"bad\"}\n");
    fs::create_dir(scratch.path().join("hollow")).unwrap();
    for name in ["hollow/a.txt", "hollow/b.txt"] {
        scratch.write(name, "");
    }
    fs::write(scratch.path().join("latin1.txt"), b"na\xefve caf\xe9").unwrap();
    fs::copy(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/experts/base/tokenizer.json"),
        scratch.path().join("tokenizer.json"),
    )
    .unwrap();
    let failed = |documents: &str, more: &str| {
        scratch.write("bad.yml", spec.replace("[texts]", documents).replace("ranks: 2", "ranks: 1") + more);
        braid(scratch.path(), ["train", "bad.yml", "bad"])
    };
    see!(scratch, failed("[nowhere]", ""), @"");
    see!(scratch, failed("[hollow]", ""), @"");
    see!(scratch, failed("[lines.jsonl]", ""), @"");
    see!(scratch, failed("[latin1.txt]", "tokens: tokenizer.json\n"), @"");
    see!(scratch, failed("[texts]", "profile: nowhere.yml\n"), @"");
}

#[test]
fn another_training_is_not_gone_on_with() {
    let scratch = training(6);
    train_here(&scratch, "out").ok();
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    scratch.write("train.yml", spec + "seed: 9\n");
    see!(scratch, train_here(&scratch, "out"), @"");
}
