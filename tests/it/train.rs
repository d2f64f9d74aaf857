//! A training by real processes: a gang of workers over TCP, and `kill -9` in the middle of it.

use crate::harness::{Coordinator, CoordinatorSetup, Run, Scratch, Worker, braid, eventually};
use std::fs;

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
fn a_spec_that_cannot_be_is_refused_before_anything_runs() {
    let scratch = training(3);
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    for (from, to, said) in [
        ("context: 256", "context: 2560", "a sequence of 2560 tokens does not fit: 2 ranks hold 512 together"),
        ("gla, softmax", "gla, transformer", "transformer"),
        ("steps: 3", "steps: 0", "steps: it must be at least 1"),
    ] {
        scratch.write("bad.yml", spec.replace(from, to));
        let run = braid(scratch.path(), ["train", "bad.yml", "bad"]);
        assert!(run.code == Some(2) && run.stderr.contains(said) && run.stderr.contains("bad.yml"), "{run:?}");
        assert!(!scratch.path().join("bad").exists());
    }
    scratch.write("empty.yml", spec.replace("documents: [texts]", "documents: [nowhere]"));
    let run = braid(scratch.path(), ["train", "empty.yml", "bad"]);
    assert!(run.code == Some(1) && run.stderr.contains("nowhere"), "{run:?}");
}
