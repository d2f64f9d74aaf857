//! Mixtures by real processes: the trajectory of proportions depends on the spec and the data alone, whoever works and whoever is
//! killed.

mod crash;
mod infer;
mod refused;
mod steered;

use crate::harness::{Coordinator, Run, Scratch, Worker, braid, eventually};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Three domains, methods that learn within a run, beside it, and not at all.
const SPEC: &str = "
domains:
  prose: prose.txt
  lines: [lines.jsonl]
  digits: { paths: [digits.txt], cap: 6000 }
split: { block: 512, validation: 0.1, test: 0.1 }
context: 24
batch: 6
steps: STEPS
evaluate: 6
trainer:
  builtin:
    model: { width: 8, heads: 2, head_dim: 4, mlp_width: 12, layers: [gla] }
    optimizer: { lr: 1e-2, warmup: 4 }
methods:
  - stratified
  - { method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5, probing: forked }
  - { method: aioli, name: sweep, round: 20, sweeps: 1, interval: 3, rate: 0.5 }
  - { method: odm, every: 2 }
  - { method: swarm, runs: 3, steps: 10, law: { kind: linear } }
  - { method: merged-proxies, prefix: 10, steps: 10, merges: 4, real: 3, law: { kind: linear } }
seeds: [3, 4]
checkpoint_every: 10
";

/// A folder with the data and a spec `mix.yml`.
fn mixture(steps: u64) -> Scratch {
    let scratch = Scratch::new();
    let text = |words: &str, length: usize| words.chars().cycle().take(length).collect::<String>();
    scratch.write("prose.txt", text("five quacking zephyrs jolt my wax bed; how vexingly quick daft zebras jump. ", 9000));
    let line = |number: usize| format!("{{\"text\": \"item {number}: {}\"}}\n", text("lorem ipsum dolor ", 40 + number % 30));
    scratch.write("lines.jsonl", (0..160).map(line).collect::<String>());
    scratch.write("digits.txt", (0..4000u64).map(|n| ((n * n + n / 3) % 97).to_string()).collect::<String>());
    scratch.write("mix.yml", SPEC.replace("STEPS", &steps.to_string()));
    scratch
}

fn mix_here(scratch: &Scratch, out: &str) -> Run {
    braid(scratch.path(), ["mix", "mix.yml", out])
}

/// All that must not differ, by file: every run's history and result, and the tables.
fn figures(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "left behind: {}", path.display());
            if path.is_dir() {
                open.extend((!name.starts_with("checkpoint-")).then_some(path));
            } else if ["history.jsonl", "result.json", "proportions.csv", "losses.csv", "runs.csv", "fit.json"]
                .contains(&name.as_str())
            {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 8, "{found:?}");
    found
}

/// Checkpoints that there are, of all runs.
fn checkpoints(scratch: &Scratch, out: &str) -> usize {
    let mut count = 0;
    let mut open = vec![scratch.path().join(out)];
    while let Some(place) = open.pop() {
        for path in fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            count += usize::from(path.file_name().unwrap().to_string_lossy().starts_with("checkpoint-"));
            open.push(path);
        }
    }
    count
}

/// Checkpoints that still hold a model.
fn checkpoints_with_models(scratch: &Scratch, out: &str) -> usize {
    let mut count = 0;
    let mut open = vec![scratch.path().join(out)];
    while let Some(place) = open.pop() {
        for path in fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            count += usize::from(path.ends_with("model"));
            open.push(path);
        }
    }
    count
}

#[test]
fn proportions_stay_on_the_simplex_and_are_what_was_consumed() {
    let scratch = mixture(40);
    let run = mix_here(&scratch, "out").ok();
    assert!(run.stdout.starts_with("METHOD") && run.stdout.contains("mixed 3 domains by 6 methods with 2 seeds"), "{run}");
    let table = fs::read_to_string(scratch.join("out/proportions.csv")).unwrap();
    let mut lines = 0;
    let (_, rows) = table.split_once('\n').unwrap();
    for line in rows.lines() {
        let shares = line.splitn(4, ',').last().unwrap();
        let shares: Vec<f64> = shares.split(',').map(|share| share.parse().unwrap()).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{line}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{line}");
        lines += 1;
    }
    assert!(lines > 60, "{table}");
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(scratch.join("out/report.json")).unwrap()).unwrap();
    let mut runs = 0;
    for method in report["methods"].as_array().unwrap() {
        for run in method["runs"].as_array().unwrap() {
            let tokens: Vec<u64> = run["tokens"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
            // Merged proxies go on from a prefix of ten steps.
            let steps = if method["name"] == "merged-proxies" { 30 } else { 40 };
            assert_eq!(tokens.iter().sum::<u64>(), steps * 6 * 24, "{run}");
            for (count, share) in tokens.iter().zip(run["realised"].as_array().unwrap()) {
                assert!((*count as f64 / (steps * 6 * 24) as f64 - share.as_f64().unwrap()).abs() < 1e-12, "{run}");
            }
            runs += 1;
        }
    }
    assert_eq!(runs, 12);
    for drawing in ["proportions", "differences", "predictions"] {
        let svg = fs::read_to_string(scratch.join(&format!("out/{drawing}.svg"))).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("</svg>"), "{drawing}");
        assert!(fs::read(scratch.join(&format!("out/{drawing}.png"))).unwrap().starts_with(b"\x89PNG"), "{drawing}");
    }
    let fit: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(scratch.join("out/runs/merged-proxies/seed-3/fit.json")).unwrap()).unwrap();
    assert_eq!(fit["points"].as_array().unwrap().len(), 7, "three real runs and four merges more");
    assert!(fit["domains"][0]["calibration"]["slope"].is_number(), "{fit}");
    let models = |role: &str| fs::read_dir(scratch.join("out/runs/merged-proxies/seed-3").join(role)).unwrap().count();
    assert!(models("expert-0") > 0 && checkpoints_with_models(&scratch, "out") == 12, "only the results' models are kept");
    let json = scratch.braid(["mix", "mix.yml", "out", "-o", "json", "-q"]).ok().json();
    assert_eq!((&json["schema"], &json["control"], &json["seeds"]), (&"braid/v1".into(), &"stratified".into(), &2.into()));
}

#[test]
fn workers_and_threads_change_nothing() {
    let scratch = mixture(40);
    mix_here(&scratch, "here").ok();
    scratch.braid(["mix", "mix.yml", "one", "--threads", "1"]).ok();
    let coordinator = Coordinator::spawn(None);
    let _workers = [0; 3].map(|_| Worker::spawn(coordinator.address()));
    coordinator.wait_for_nodes(3);
    coordinator.braid_in(scratch.path(), ["mix", "mix.yml", "fleet"]).ok();
    let expected = figures(&scratch.join("here"));
    for out in ["one", "fleet"] {
        assert_eq!(expected, figures(&scratch.join(out)), "{out}");
    }
}
