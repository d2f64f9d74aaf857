//! `braid merge` inside one process.

use crate::{
    harness::{Run, Scratch, Tensors, braid, goldens, names},
    see,
};
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
    see!(scratch, merge(&scratch, "recipes/linear.yml", &[]), @"");
    assert_eq!(scratch.names(), ["out"], "nothing but the result");
    let files = names(&scratch.join("out"));
    insta::assert_snapshot!(files.join("\n"), @"");
}

#[test]
fn quiet_is_silent() {
    let scratch = Scratch::new();
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["--quiet"]), @"");
}

#[test]
fn the_same_merge_again_is_done_and_another_is_refused() {
    let scratch = Scratch::new();
    merge(&scratch, "recipes/linear.yml", &["-q"]).ok();
    let before = Tensors::read(&scratch.join("out"));
    see!(scratch, merge(&scratch, "recipes/linear.yml", &[]), @"");
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["-q"]), @"");
    assert_eq!(before, Tensors::read(&scratch.join("out")), "the result is untouched");
    assert_eq!(scratch.names(), ["out"]);
}

#[test]
fn an_output_that_is_not_empty_is_refused() {
    let scratch = Scratch::new();
    scratch.write("out/notes.txt", "mine");
    see!(scratch, merge(&scratch, "recipes/linear.yml", &["-q"]), @"");
    assert_eq!(names(&scratch.join("out")), ["notes.txt"]);
    assert_eq!(scratch.names(), ["out"], "nothing is left behind");
}

#[test]
fn a_dry_run_does_nothing_but_tell() {
    let scratch = Scratch::new();
    see!(scratch, merge(&scratch, "recipes/ties.yml", &["--dry-run"]), @"");
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
    see!(scratch, run("merge_method: linear\nmodles:\n  - model: a\n"), @"");
    see!(scratch, run("merge_method: lineer\nmodels:\n  - model: a\n"), @"");
    see!(scratch, run("merge_method: [\n"), @"");
    see!(scratch, run(""), @"");
    see!(scratch, scratch.braid(["merge", "none.yml", "out"]), @"");
    see!(scratch, scratch.braid(["merge", "r.yml", "out", "--detach"]), @"");
    assert_eq!(scratch.names(), ["r.yml"], "nothing is left behind");
}

#[test]
fn a_model_that_is_not_there_fails_the_merge() {
    let scratch = Scratch::new();
    scratch.write("r.yml", "merge_method: linear\nmodels:\n  - {model: gone, parameters: {weight: 1}}\n");
    see!(scratch, scratch.braid(["merge", "r.yml", "out", "-q"]), @"");
    assert_eq!(scratch.names(), ["r.yml"], "nothing is left behind");
}
