//! `braid barrier`: checkpoints between two, and what an evaluator says of them.

use crate::harness::{Family, Scratch, Size, Tensors};
use std::os::unix::fs::PermissionsExt;

const TINY: Size = Size { layers: 1, hidden: 64, vocabulary: 128, experts: 1, shards: 1 };

/// An evaluator that knows what to say of each checkpoint by its name, and looks whether it is one.
fn evaluator(scratch: &Scratch, body: &str) {
    let path = scratch.write("evaluate", format!("#!/bin/sh\ntest -f \"$1/config.json\" || exit 9\n{body}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_losses_between_two_checkpoints_are_drawn() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), TINY, 5);
    evaluator(&scratch, "echo looking; case \"$1\" in *0.00) echo 1;; *0.50) echo 3.25;; *) echo 2;; esac; echo");
    let args = ["barrier", "base", "expert1", "out", "--points", "3", "--evaluator", "./evaluate"];
    let first = scratch.braid(args).ok();
    assert!(first.stdout.contains("barrier   1.750000\n") && first.stdout.contains("at alpha  0.500\n"), "{first}");
    let tensors = |folder: &str| Tensors::read(&scratch.join(folder));
    assert_eq!(tensors("out/alpha-0.00"), tensors("base"));
    assert_eq!(tensors("out/alpha-1.00"), tensors("expert1"));
    assert_ne!(tensors("out/alpha-0.50"), tensors("base"));
    let said: serde_json::Value = serde_json::from_slice(&std::fs::read(scratch.join("out/barrier.json")).unwrap()).unwrap();
    assert_eq!(said["points"].as_array().map(Vec::len), Some(3), "{said}");
    assert_eq!((&said["barrier"], &said["points"][1]["loss"]), (&1.75.into(), &3.25.into()));
    let drawing = std::fs::read_to_string(scratch.join("out/barrier.svg")).unwrap();
    assert!(drawing.starts_with("<svg") && drawing.contains("barrier 1.7500 at alpha 0.50"), "{drawing}");
    // once more: the checkpoints are there
    let again = scratch.braid(args).ok();
    assert_eq!(again.stdout, first.stdout);
}

#[test]
fn without_an_evaluator_the_checkpoints_are_written() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), TINY, 5);
    let run = scratch.braid(["barrier", "base", "expert1", "out", "--points", "2"]).ok();
    assert_eq!(run.stdout, "2 checkpoints in out\n");
    let mut names = scratch.names();
    names.retain(|name| name == "out");
    assert_eq!(names, ["out"]);
    assert!(scratch.join("out/alpha-1.00/config.json").exists() && !scratch.join("out/barrier.json").exists());
}

#[test]
fn what_is_wrong_is_said() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), TINY, 5);
    evaluator(&scratch, "case \"$1\" in *1.00) exit 3;; *) echo 1;; esac");
    let barrier = |more: &[&str]| scratch.braid(["barrier", "base", "expert1", "out"].into_iter().chain(more.iter().copied()));
    for (more, code, expected) in [
        (&["--points", "1"][..], 2, "1 is not in 2..=1001"),
        (&["--points", "2", "--evaluator", "./evaluate"], 1, "out/alpha-1.00: ended with exit status: 3"),
        (&["--points", "2", "--evaluator", "echo good:"], 1, "and not a number"),
        (&["--points", "2", "--dtype", "int4"], 2, "unknown dtype \"int4\""),
        (&["--detach"], 2, "leave --detach out"),
    ] {
        let run = barrier(more);
        assert!(run.code == Some(code) && run.stderr.contains(expected), "{more:?}: {run}");
        assert!(!scratch.join("out/barrier.json").exists());
    }
    let gone = scratch.braid(["barrier", "base", "nowhere", "other", "--points", "2"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("model `nowhere` is not there"), "{gone}");
    assert!(!scratch.join("other").exists(), "what was made for nothing goes again");
}
