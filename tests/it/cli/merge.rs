//! `braid merge` inside one process.

use crate::{
    harness::{Family, Process, Run, SMALL, Scratch, Tensors, braid, command, eventually, goldens, names},
    see,
};
use rustix::process::Signal;
use std::fs;

/// Merges a recipe of the conformance cases into `out` of the scratch folder.
fn merge(scratch: &Scratch, recipe: &str, more: &[&str]) -> Run {
    let out = scratch.join("out");
    let args = ["merge", recipe, out.to_str().unwrap(), "--threads", "1"];
    braid(&goldens(), args.iter().chain(more))
}

#[test]
fn a_merge_says_what_it_does_and_leaves_the_result_alone() {
    let scratch = Scratch::new();
    see!(scratch, merge(&scratch, "recipes/linear.yml", &[]), @"
    exit: 0
    --- stdout
    merged 3 checkpoints into [DIR]/out (39 tensors, 255.1 kB), took [TIME]
    --- stderr
    linear of 3 checkpoints -> [DIR]/out
    ");
    assert_eq!(scratch.names(), ["out"], "nothing but the result");
    let files = names(&scratch.join("out"));
    insta::assert_snapshot!(files.join("\n"), @"
    README.md
    braid-inputs.json
    braid.json
    config.json
    generation_config.json
    model.safetensors
    tokenizer.json
    tokenizer_config.json
    ");
}

#[test]
fn quiet_is_silent() {
    let scratch = Scratch::new();
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["--quiet"]), @"
    exit: 0
    --- stdout
    --- stderr
    ");
}

#[test]
fn the_same_merge_again_is_done_and_another_is_refused() {
    let scratch = Scratch::new();
    merge(&scratch, "recipes/linear.yml", &["-q"]).ok();
    let before = Tensors::read(&scratch.join("out"));
    see!(scratch, merge(&scratch, "recipes/linear.yml", &[]), @"
    exit: 0
    --- stdout
    [DIR]/out already holds this merge, took [TIME]
    --- stderr
    linear of 3 checkpoints -> [DIR]/out
    ");
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["-q"]), @"
    exit: 1
    --- stdout
    --- stderr
    error: output [DIR]/out: is not empty: it holds the result of another merge, or its inputs changed since

    hint: choose another folder, or remove this one first
    ");
    assert_eq!(before, Tensors::read(&scratch.join("out")), "the result is untouched");
    assert_eq!(scratch.names(), ["out"]);
}

#[test]
fn an_output_that_is_not_empty_is_refused() {
    let scratch = Scratch::new();
    scratch.write("out/notes.txt", "mine");
    see!(scratch, merge(&scratch, "recipes/linear.yml", &["-q"]), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: output [DIR]/out: is not empty: it holds "notes.txt"

    hint: choose another folder, or remove this one first
    "#);
    assert_eq!(names(&scratch.join("out")), ["notes.txt"]);
    assert_eq!(scratch.names(), ["out"], "nothing is left behind");
}

#[test]
fn a_dry_run_does_nothing_but_tell() {
    let scratch = Scratch::new();
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["--dry-run"]), @"
    exit: 0
    --- stdout
    method      ties
    model       [GOLDENS]/models/ft0
    model       [GOLDENS]/models/ft1
    model       [GOLDENS]/models/ft2
    model       [GOLDENS]/models/base
    config of   [GOLDENS]/models/base
    tensors     39
    parameters  63776
    dtype       F32
    reads       2.0 MB, of 1.0 MB of tensors
    writes      255.1 kB
    memory      2.6 MB at least
    file        model.safetensors (259.1 kB)
    --- stderr
    ");
    assert!(scratch.names().is_empty());
}

#[test]
fn shards_are_as_large_as_wished() {
    let scratch = Scratch::new();
    merge(&scratch, "recipes/linear.yml", &["-q", "--max-shard-size", "100KB"]).ok();
    let shards: Vec<_> = names(&scratch.join("out")).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
    assert!(shards.len() > 1, "{shards:?}");
    let index = fs::read(scratch.join("out/model.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let tensors = Tensors::read(&scratch.join("out"));
    assert_eq!(index["weight_map"].as_object().unwrap().len(), tensors.0.len());
}

#[test]
fn recipes_that_are_wrong_name_the_line() {
    let scratch = Scratch::new();
    let run = |text: &str| {
        scratch.write("r.yml", text);
        scratch.braid(["merge", "r.yml", "out"])
    };
    see!(scratch, run("merge_method: linear\nmodles:\n  - model: a\n"), @"
    exit: 2
    --- stdout
    --- stderr
    error: r.yml:2:1: unknown key `modles` in the recipe

    hint: did you mean `models`?
    ");
    see!(scratch, run("merge_method: lineer\nmodels:\n  - model: a\n"), @"
    exit: 2
    --- stdout
    --- stderr
    error: r.yml:1:15: unknown method `lineer`

    hint: did you mean `linear`?
    ");
    see!(scratch, run("merge_method: [\n"), @"
    exit: 2
    --- stdout
    --- stderr
    error: r.yml:1:15: not valid YAML: unclosed bracket '['
    ");
    see!(scratch, run(""), @"
    exit: 2
    --- stdout
    --- stderr
    error: r.yml: the recipe is empty
    ");
    see!(scratch, scratch.braid(["merge", "none.yml", "out"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the recipe none.yml: No such file or directory (os error 2)
    ");
    let fine = goldens().join("recipes/linear.yml");
    see!(scratch, scratch.braid(["merge", fine.to_str().unwrap(), "out", "--detach"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: --detach leaves the work to a fleet, but there is no --coordinator
    ");
    assert_eq!(scratch.names(), ["r.yml"], "nothing is left behind");
}

#[test]
fn a_model_that_is_not_there_fails_the_merge() {
    let scratch = Scratch::new();
    scratch.write("r.yml", "merge_method: linear\nmodels:\n  - {model: gone, parameters: {weight: 1}}\n");
    see!(scratch, scratch.braid(["merge", "r.yml", "out", "-q"]), @"
    exit: 1
    --- stdout
    --- stderr
    error: r.yml:3:13: model `gone` is not there (looked for [DIR]/gone)

    hint: paths start at the working directory or at the folder of the recipe
    ");
    assert_eq!(scratch.names(), ["r.yml"], "nothing is left behind");
}

#[test]
fn an_interrupted_merge_keeps_what_is_done_and_the_same_command_goes_on() {
    let scratch = Scratch::new();
    let family = Family::write(&scratch.join("models"), SMALL, 1);
    scratch.write("r.yml", family.recipe("ties", 0.5));
    // On a fast machine the merge may end before the signal comes: that proves nothing, and another one is tried.
    let interrupted = (0..10).map(|n| format!("out{n}")).find(|out| interrupt(&scratch, out));
    let out = interrupted.expect("one of ten merges is interrupted in time");
    assert!(scratch.names().contains(&format!(".{out}.braid")), "the staging is kept: {:?}", scratch.names());
    let again = scratch.braid(["merge", "r.yml", &out, "--threads", "1"]).ok();
    assert!(again.stdout.contains("of an interrupted run"), "{again}");
    let hidden: Vec<_> = scratch.names().into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// Starts a merge and interrupts it when the first tensors are done; false when it was done before.
fn interrupt(scratch: &Scratch, out: &str) -> bool {
    let mut merge = command(scratch.path());
    merge.args(["merge", "r.yml", out, "--threads", "1"]);
    let mut merge = Process::spawn("merge", merge, &scratch.join(&format!("{out}.log")));
    let progress = scratch.join(&format!(".{out}.braid/progress"));
    let tensors = |file: fs::DirEntry| fs::read_to_string(file.path()).map_or(0, |text| text.lines().count().saturating_sub(1));
    let some = || fs::read_dir(&progress).is_ok_and(|files| files.flatten().any(|file| tensors(file) > 0));
    eventually("the first tensors", || (some() || !merge.is_running()).then_some(()));
    if merge.is_running() {
        merge.signal(Signal::INT);
    }
    let (end, log) = (merge.wait(), merge.log());
    if end.success() {
        return false;
    }
    assert_eq!(end.code(), Some(130), "{log}");
    assert!(log.contains("error: interrupted\n\nhint: what is done is kept: the same command goes on"), "{log}");
    assert!(!scratch.join(&format!(".{out}.braid-state")).exists(), "the state is not kept");
    true
}
