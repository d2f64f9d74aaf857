//! A real fleet is recorded, and decides the same again.

use crate::harness::{Coordinator, CoordinatorSetup, Run, Scratch, Worker, WorkerSetup, goldens};
use rustix::process::Signal;
use std::{fs, os::unix::fs::PermissionsExt};

const SECRET: &str = "a-token-that-nobody-may-read";

/// A fleet of two workers that merges, is killed and goes on; its recording.
fn recorded(scratch: &Scratch) -> String {
    let mut coordinator = Coordinator::start(CoordinatorSetup {
        record: Some("dump.jsonl".into()),
        token: Some(SECRET.into()),
        ..CoordinatorSetup::default()
    });
    let token = Some(SECRET.to_owned());
    let worker = || Worker::start(coordinator.address(), WorkerSetup { token: token.clone(), ..WorkerSetup::default() });
    let _workers = [worker(), worker()];
    coordinator.wait_for_nodes(2);
    let merge = |coordinator: &Coordinator, out: &str| {
        let out = scratch.join(out);
        coordinator.braid_in(&goldens(), ["merge", "recipes/ties.yml", out.to_str().unwrap(), "--quiet"]).ok();
    };
    merge(&coordinator, "a");
    coordinator.kill9();
    coordinator.restart();
    coordinator.wait_for_nodes(2);
    coordinator.braid(["bench", "--tasks", "60", "--millis", "2"]).ok();
    merge(&coordinator, "b");
    coordinator.signal(Signal::TERM);
    coordinator.process().wait();
    let path = coordinator.folder().join("dump.jsonl");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::read_to_string(path).unwrap()
}

fn replay(scratch: &Scratch, text: &str, more: &[&str]) -> Run {
    fs::write(scratch.join("dump.jsonl"), text).unwrap();
    scratch.braid(["sim", "replay", "dump.jsonl"].iter().chain(more))
}

#[test]
fn a_recorded_fleet_decides_the_same_again_and_what_was_changed_is_named() {
    let scratch = Scratch::new();
    let dump = recorded(&scratch);
    assert!(!dump.contains(SECRET));
    let summary = replay(&scratch, &dump, &["-o", "json"]).ok().json();
    assert_eq!((&summary["schema"], &summary["terms"]), (&"braid/v1".into(), &2.into()));
    assert!(summary["differences"].as_array().unwrap().is_empty(), "{summary}");
    assert!(summary["placements"].as_u64().unwrap() >= 3 && summary["effects"].as_u64().unwrap() > 60, "{summary}");

    // Cut off in the middle of its last line.
    let cut = dump.trim_end();
    let cut = replay(&scratch, &cut[..cut.len() - 5], &[]).ok().stdout;
    assert!(cut.contains("is cut short"), "{cut}");

    // A placement that placement did not decide, and an effect that does not follow.
    let placed = dump.lines().position(|line| line.contains("\"placements\":[{")).unwrap();
    let tampered = |at: usize, from: &str, to: &str| -> String {
        let mut lines: Vec<String> = dump.lines().map(str::to_owned).collect();
        assert!(lines[at].contains(from), "{}", lines[at]);
        lines[at] = lines[at].replacen(from, to, 1);
        lines.join("\n")
    };
    let line: serde_json::Value = serde_json::from_str(dump.lines().nth(placed).unwrap()).unwrap();
    let (event, placement) = (&line["step"]["number"], &line["step"]["event"]["placed"]["placements"][0]);
    let count = placement["count"].as_u64().unwrap();
    let other =
        replay(&scratch, &tampered(placed, &format!("\"count\":{count}"), &format!("\"count\":{}", count + 1)), &["-o", "json"]);
    assert_eq!(other.code, Some(1), "{other}");
    let difference = &other.json()["differences"][0];
    assert_eq!((&difference["term"], &difference["event"], &difference["what"]), (&1.into(), event, &"placement".into()));
    let node = placement["node"].as_str().unwrap();
    assert!(difference["recorded"][0].as_str().unwrap().starts_with(&format!("job 1: {} on {node}", count + 1)), "{difference}");
    assert!(difference["now"][0].as_str().unwrap().starts_with(&format!("job 1: {count} on {node}")), "{difference}");

    let answered = dump.lines().position(|line| line.contains("answer 1: job 1")).unwrap();
    let other = replay(&scratch, &tampered(answered, "answer 1: job 1", "answer 1: job 9"), &[]);
    assert_eq!(other.code, Some(1), "{other}");
    assert!(other.stdout.contains(": effects of the submit\n  - answer 1: job 9\n  + answer 1: job 1\n"), "{other}");
}

#[test]
fn what_is_no_recording_is_refused() {
    let scratch = Scratch::new();
    let header = |format: u32| {
        let header = serde_json::json!({"header": {"format": format, "version": "9.9.9", "epoch": 1, "now": 1, "placer": "lp",
            "lease": {"secs": 15, "nanos": 0}}});
        format!("{header}\n")
    };
    let says = |run: Run, code: i32, said: &str| {
        assert_eq!(run.code, Some(code), "{run}");
        assert!(run.stderr.contains(said) || run.stdout.contains(said), "{said}: {run}");
    };
    says(replay(&scratch, &header(2), &[]), 2, "hint: replay it with braid 9.9.9, which wrote it");
    says(replay(&scratch, "", &[]), 2, "cannot replay dump.jsonl: nothing is recorded in it");
    says(replay(&scratch, "\"idle\"\n", &[]), 2, "line 1: a recording begins with its header");
    says(replay(&scratch, &(header(1) + "{}\n\"idle\"\n"), &[]), 2, "line 2: it cannot be read");
    let gap = header(1) + "\"idle\"\n{\"gap\":{\"lost\":7}}\n\"idle\"\n";
    says(replay(&scratch, &gap, &[]), 0, "7 lines are missing after event 0 of term 1");
    says(scratch.braid(["sim", "replay", "gone"]), 3, "cannot open the recording gone");
}
