//! `braid mix infer`: what it prints, and what it says of input that nothing can be inferred from.

use crate::{
    harness::{Coordinator, CoordinatorSetup, Run, Scratch, Worker, WorkerSetup},
    see,
};
use serde_json::{Value, json};
use std::fs;

const TOKENIZER: &str = include_str!("../../../examples/experts/base/tokenizer.json");

/// The tokenizer of the examples, which was trained on Python and German, and texts of three kinds.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("tokenizer.json", TOKENIZER);
    scratch.write("python", include_str!("../../data/eval/python.txt"));
    scratch.write("german", include_str!("../../data/eval/german.txt"));
    scratch.write("manual", include_str!("../../data/eval/manual.txt"));
    scratch
}

fn infer(scratch: &Scratch, more: &[&str]) -> Run {
    let data = ["--data", "python=python", "--data", "german=german", "--data", "manual=manual"];
    scratch.braid(["mix", "infer", "tokenizer.json"].iter().chain(&data).chain(more))
}

/// The tokenizer after a change of its file.
fn changed(scratch: &Scratch, change: impl FnOnce(&mut Value)) {
    let mut file = serde_json::from_str(TOKENIZER).unwrap();
    change(&mut file);
    scratch.write("tokenizer.json", file.to_string());
}

#[test]
fn proportions_are_the_same_with_any_number_of_threads_and_as_a_job_of_a_fleet() {
    let scratch = scratch();
    let json = |threads: &str| infer(&scratch, &["-o", "json", "--merges", "150", "--threads", threads]).ok().json();
    let (one, two) = (json("1"), json("2"));
    assert_eq!((&one["schema"], &one["proportions"]), (&json!("braid/v1"), &two["proportions"]));
    let shares: Vec<f64> = one["proportions"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    assert!(one["slack"].as_f64() >= one["bound"].as_f64() && one["rows"].as_u64() > Some(0), "{one}");

    let coordinator = Coordinator::start(CoordinatorSetup::default());
    let _workers = [(); 2].map(|()| Worker::start(coordinator.address(), WorkerSetup::default()));
    coordinator.wait_for_nodes(2);
    let names = ["python", "german", "manual"].map(|name| format!("{name}={}", scratch.join(name).display()));
    let tokenizer = scratch.join("tokenizer.json").display().to_string();
    let out = scratch.join("out").display().to_string();
    let mut args = vec!["mix", "infer", &tokenizer, "--merges", "150", "--out", &out];
    names.iter().for_each(|data| args.extend(["--data", data]));
    let summary = coordinator.braid(args).ok().stdout;
    assert!(summary.contains("german ") && summary.contains("merges; in "), "{summary}");
    let answer: Value = serde_json::from_str(&fs::read_to_string(scratch.join("out/proportions.json")).unwrap()).unwrap();
    assert_eq!(answer["proportions"], one["proportions"]);
    assert_eq!(crate::harness::names(&scratch.join("out")), ["proportions.json"]);
}

#[test]
fn a_tokenizer_that_tells_nothing_is_named() {
    let scratch = scratch();
    changed(&scratch, |file| file["model"]["merges"] = json!([]));
    see!(scratch, infer(&scratch, &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer tokenizer.json: it has no merges: proportions are inferred from their order
    ");
    changed(&scratch, |file| file["model"] = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}));
    see!(scratch, infer(&scratch, &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer tokenizer.json: its model is WordLevel, and only a BPE has merges to infer from
    ");
    changed(&scratch, |file| file["model"]["merges"] = json!([["Ġ", "日本"]]));
    see!(scratch, infer(&scratch, &[]), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the tokenizer tokenizer.json: merge 0 ("Ġ" and "日本") needs the token "日本", which its vocabulary lacks
    "#);
}

#[test]
fn text_that_tells_nothing_is_named() {
    let scratch = scratch();
    scratch.write("manual", "");
    see!(scratch, infer(&scratch, &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: category `manual` has no text: manual is empty

    hint: a category is a text file, a .jsonl or .parquet with a field `text`, or a folder of them
    ");
    scratch.write("manual", b"ab\xff");
    see!(scratch, infer(&scratch, &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: manual: byte 2 is not UTF-8, and a tokenizer reads text

    hint: convert it to UTF-8; if it is compressed, its name must end in .gz or .zst
    ");
    see!(scratch, scratch.braid(["mix", "infer", "tokenizer.json", "--data", "a=python"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: --data: of 1 category nothing can be inferred: its share is all

    hint: name each once, and at least two: --data en=FILE --data de=FOLDER
    ");
    see!(scratch, infer(&scratch, &["--coordinator", "127.0.0.1:1"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: a fleet needs a folder that all its workers see, for what they count

    hint: name it: --out DIR; or leave out --coordinator, and this process counts
    ");
}
