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
pub(crate) fn training(steps: u64) -> Scratch {
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
    let mut train = coordinator.command(scratch.path(), ["train", "train.yml", "out"]);
    let train = thread::spawn(move || train.output().unwrap());
    eventually("steps", || (losses(&scratch, "out").lines().count() >= 8).then_some(()));
    coordinator.restart();
    let train = train.join().unwrap();
    let said = String::from_utf8(train.stderr).unwrap();
    assert!(train.status.success() && said.contains("trying again"), "{said}");
    assert!(said.contains("step 59: loss"), "lines come again after a restart: {said}");
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
    see!(scratch, refused("gla, softmax", "gla, transformer"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: layers: unknown variant `transformer`, expected one of softmax, linear, lightning, gla, delta_net, gated_delta_net at line 4, column 73
    ");
    see!(scratch, refused("context: 256", "context: 2560"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: tokens_per_rank: a sequence of 2560 tokens (context) does not fit: 2 ranks hold 512 together, 2048 too few; make it 1280 at least, or give more ranks or a shorter context
    ");
    see!(scratch, refused("steps: 3", "steps: 0"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: steps: it must be at least 1
    ");
    see!(scratch, refused("steps: 3", "stepz: 3"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: unknown field `stepz`, expected one of documents, tokens, context, model, ranks, whole_workers, tokens_per_rank, steps, sequences_per_step, optimizer, seed, checkpoint_every, profile at line 7, column 1
    ");
    see!(scratch, refused("context: 256", "context: long"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: context: expected a whole number of 0 or more at line 3, column 10
    ");
    see!(scratch, refused("tokens_per_rank: 256\n", ""), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: missing field `tokens_per_rank` at line 9, column 1
    ");
    see!(scratch, refused("heads: 2", "heads: 0"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: model.heads: it must be at least 1
    ");
    see!(scratch, refused("lr: 1e-2", "lr: .nan"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: optimizer: lr is NaN
    ");
    see!(scratch, refused("context: 256", "context: 256\ntokens: nowhere.json"), @"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer [DIR]/nowhere.json: No such file or directory (os error 2)

    hint: `tokens` is `byte`, or names a tokenizer.json of Hugging Face whose model is BPE
    ");
    see!(scratch, refused("context: 256", "context: 256\ntokens: broken.json"), @"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer [DIR]/broken.json: it is no JSON: EOF while parsing a string at line 1 column 23

    hint: `tokens` is `byte`, or names a tokenizer.json of Hugging Face whose model is BPE
    ");
    see!(scratch, refused("context: 256", "context: 256\ntokens: unigram.json"), @"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer [DIR]/unigram.json: its model is Unigram, and a training reads BPE

    hint: `tokens` is `byte`, or names a tokenizer.json of Hugging Face whose model is BPE
    ");
    see!(scratch, braid(scratch.path(), ["train", "nowhere.yml", "bad"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the spec nowhere.yml: No such file or directory (os error 2)
    ");
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
        let run = braid(scratch.path(), ["train", "bad.yml", "bad"]);
        assert!(!scratch.path().join("bad").exists());
        run
    };
    see!(scratch, failed("[nowhere]", ""), @"
    exit: 1
    --- stdout
    --- stderr
    3 steps of 12928 parameters on 1 rank -> [DIR]/bad
    error: cannot read [DIR]/nowhere: No such file or directory (os error 2)
    ");
    see!(scratch, failed("[hollow]", ""), @"
    exit: 1
    --- stdout
    --- stderr
    3 steps of 12928 parameters on 1 rank -> [DIR]/bad
    error: no document of at least 2 tokens in [DIR]/hollow

    hint: documents names files, or folders that are read with all that is in them
    ");
    see!(scratch, failed("[lines.jsonl]", ""), @"
    exit: 1
    --- stdout
    --- stderr
    3 steps of 12928 parameters on 1 rank -> [DIR]/bad
    error: cannot read [DIR]/lines.jsonl: line 2: missing field `text` at column 15
    ");
    see!(scratch, failed("[latin1.txt]", "tokens: tokenizer.json\n"), @"
    exit: 1
    --- stdout
    --- stderr
    3 steps of 37504 parameters on 1 rank -> [DIR]/bad
    error: cannot read [DIR]/latin1.txt: byte 2 is not UTF-8, and a tokenizer reads text: convert it, or take `tokens: byte`
    ");
    see!(scratch, failed("[texts]", "profile: nowhere.yml\n"), @"
    exit: 1
    --- stdout
    --- stderr
    3 steps of 12928 parameters on 1 rank -> [DIR]/bad
    error: [DIR]/nowhere.yml: it cannot be read: No such file or directory (os error 2)
    ");
}

#[test]
fn another_training_is_not_gone_on_with() {
    let scratch = training(6);
    train_here(&scratch, "out").ok();
    let spec = fs::read_to_string(scratch.path().join("train.yml")).unwrap();
    scratch.write("train.yml", spec + "seed: 9\n");
    see!(scratch, train_here(&scratch, "out"), @"
    exit: 1
    --- stdout
    --- stderr
    6 steps of 12928 parameters on 2 ranks -> [DIR]/out
    6 documents: 11 sequences, 1835 tokens
    error: the checkpoint [DIR]/out/checkpoint-6 cannot be continued: it was begun with another spec

    hint: give another output folder, or remove this one
    ");
}
