//! `kill -9` of everything that takes part in an inference: what was counted is kept, and the answer is the same to the last digit.

use super::crash::chance;
use crate::harness::{Coordinator, CoordinatorSetup, Process, Scratch, Worker, braid, command, eventually};
use std::{fs, thread};

const CATEGORIES: [(&str, &str); 3] = [
    ("python", include_str!("../../data/eval/python.txt")),
    ("german", include_str!("../../data/eval/german.txt")),
    ("manual", include_str!("../../data/eval/manual.txt")),
];
/// Files of a category, each of which is counted by a task of its own.
const FILES: usize = 16;

/// A tokenizer, and a folder of some files for each category.
fn question() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("tokenizer.json", include_str!("../../../examples/experts/base/tokenizer.json"));
    for (name, text) in CATEGORIES {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        fs::create_dir(scratch.join(name)).unwrap();
        for (file, lines) in lines.chunks(lines.len().div_ceil(FILES)).enumerate() {
            scratch.write(&format!("{name}/{file:02}.txt"), lines.concat());
        }
    }
    scratch
}

fn arguments(scratch: &Scratch, out: &str) -> Vec<String> {
    let mut all: Vec<String> = ["mix", "infer", "tokenizer.json", "--merges", "200", "--out", out].map(str::to_owned).into();
    all.extend(CATEGORIES.iter().flat_map(|(name, _)| ["--data".to_owned(), format!("{name}={}", scratch.join(name).display())]));
    all
}

/// Files of counts that are whole.
fn counted(scratch: &Scratch, out: &str) -> usize {
    let questions = fs::read_dir(scratch.join(out).join(".counts")).into_iter().flatten().flatten();
    let files = questions.flat_map(|question| fs::read_dir(question.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
}

fn answer(scratch: &Scratch, out: &str) -> String {
    assert_eq!(crate::harness::names(&scratch.join(out)), ["proportions.json"], "nothing else is left");
    fs::read_to_string(scratch.join(out).join("proportions.json")).unwrap()
}

#[test]
fn a_killed_inference_keeps_its_counts_and_finds_the_same() {
    let scratch = question();
    braid(scratch.path(), arguments(&scratch, "whole")).ok();
    let mut chance = chance();
    let mut killed = 0;
    for life in 0..5 {
        let mut command = command(scratch.path());
        command.args(arguments(&scratch, "out"));
        let before = counted(&scratch, "out");
        let mut process = Process::spawn("infer", command, &scratch.join("infer.log"));
        let until = before + chance.usize(1..12);
        eventually("counts", || (counted(&scratch, "out") >= until || !process.is_running()).then_some(()));
        killed += usize::from(process.is_running());
        process.kill9();
        let after = counted(&scratch, "out");
        println!("life {life}: {after} files of counts, {before} before");
        assert!(after >= before || !scratch.join("out/.counts").exists(), "counts are kept: {after}, {before} before");
    }
    assert!(killed > 0, "nothing was interrupted");
    braid(scratch.path(), arguments(&scratch, "out")).ok();
    assert_eq!(answer(&scratch, "out"), answer(&scratch, "whole"));
}

#[test]
fn killed_workers_and_coordinators_change_no_answer() {
    let scratch = question();
    braid(scratch.path(), arguments(&scratch, "whole")).ok();
    let mut chance = chance();
    let setup = CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() };
    let mut coordinator = Coordinator::start(setup);
    let mut workers = [Worker::spawn(coordinator.address()), Worker::spawn(coordinator.address())];
    coordinator.wait_for_nodes(2);
    let mut infer = coordinator.command(scratch.path(), arguments(&scratch, "out"));
    let infer = thread::spawn(move || infer.output().unwrap());
    for kill in 0..3 {
        let until = counted(&scratch, "out") + chance.usize(1..12);
        eventually("counts", || (counted(&scratch, "out") >= until || infer.is_finished()).then_some(()));
        match chance.usize(..3) {
            2 => coordinator.restart(),
            worker => workers[worker].restart(),
        }
        println!("kill {kill} at {} files of counts", counted(&scratch, "out"));
    }
    let infer = infer.join().unwrap();
    assert!(infer.status.success(), "{}", String::from_utf8_lossy(&infer.stderr));
    assert_eq!(answer(&scratch, "out"), answer(&scratch, "whole"));
}
