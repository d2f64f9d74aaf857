//! Trainers that ask: whoever is killed, and whoever is gone, every step is trained on the proportions of the undisturbed run.

mod killed;
mod program;
mod wrong;

use super::*;
use std::collections::BTreeSet;

const STEPS: u64 = 60;

/// Methods that decide once, within the run, and beside it.
const METHODS: &str = "
methods:
  - { method: fixed, proportions: [0.5, 0.3, 0.2] }
  - { method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5 }
  - { method: aioli, name: forked, round: 20, sweeps: 1, interval: 3, rate: 0.5, probing: forked }
  - { method: odm, every: 4 }
seeds: [3, 4]
";

/// A folder with a spec whose trainer is [`program`], and these more of its settings.
fn steered(settings: &str, methods: &str) -> Scratch {
    let scratch = Scratch::new();
    let exe = std::env::current_exe().unwrap();
    let trainer = format!(
        "trainer:\n  external:\n    command: [{exe:?}, --exact, 'mix::steered::program::program', --ignored, --nocapture, --test-threads=1]\n"
    );
    let data = "domains: { prose: { tokens: 30000 }, code: { tokens: 10000 }, lists: }\nbatch: 6\n";
    scratch.write("mix.yml", format!("{data}steps: {STEPS}\n{trainer}{settings}{methods}"));
    scratch
}

/// Settings of a trainer that takes so many milliseconds a step, and may be killed often.
fn paced(millis: u64) -> String {
    format!("    patience: 30s\n    retries: 30\n    offers: [branches]\n    env: {{ PACE: {millis} }}\n")
}

/// The folders of all trainers that have begun.
fn trainers(scratch: &Scratch, out: &str) -> Vec<PathBuf> {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let seeds = list(scratch.join(out).join("runs")).flat_map(list);
    let mut found: Vec<PathBuf> = seeds.map(|seed| seed.join("main/trainer")).filter(|folder| folder.is_dir()).collect();
    found.sort();
    found
}

/// Steps that one rank has trained, in all of its lives: the number of each, and what it was trained on.
fn trace(trainer: &Path, rank: usize) -> Vec<(u64, String)> {
    let text = fs::read_to_string(trainer.join(format!("rank-{rank}.trace"))).unwrap_or_default();
    let line = |line: &str| line.split_once(' ').and_then(|(step, shares)| Some((step.parse().ok()?, shares.to_owned())));
    text.lines().filter_map(line).collect()
}

/// Steps trained so far, of all runs; those that were trained again count again.
fn trained(scratch: &Scratch, out: &str) -> usize {
    trainers(scratch, out).iter().map(|trainer| trace(trainer, 0).len()).sum()
}

/// What every step was trained on, which must be the same each time that it was; of every run, by its folder.
fn trajectories(scratch: &Scratch, out: &str, rank: usize) -> BTreeMap<PathBuf, BTreeMap<u64, String>> {
    let mut found = BTreeMap::new();
    for trainer in trainers(scratch, out) {
        let mut steps = BTreeMap::new();
        for (step, shares) in trace(&trainer, rank) {
            let before = steps.entry(step).or_insert_with(|| shares.clone());
            assert_eq!(*before, shares, "step {step} in {}", trainer.display());
        }
        assert_eq!(steps.keys().copied().collect::<Vec<_>>(), (0..STEPS).collect::<Vec<_>>(), "{}", trainer.display());
        found.insert(trainer.strip_prefix(scratch.join(out)).unwrap().to_owned(), steps);
    }
    found
}

#[test]
fn a_trainer_that_asks_is_led_and_reported() {
    let scratch = steered(&paced(0), METHODS);
    let run = mix_here(&scratch, "out").ok();
    assert!(run.stdout.contains("mixed 3 domains by 4 methods with 2 seeds"), "{run}");
    let trajectories = trajectories(&scratch, "out", 0);
    assert_eq!(trajectories.len(), 8);
    let different = |method: &str| {
        trajectories[&PathBuf::from(format!("runs/{method}/seed-3/main/trainer"))].values().collect::<BTreeSet<_>>()
    };
    assert_eq!(different("fixed").len(), 1);
    assert!(different("aioli").len() > 4, "{:?}", different("aioli"));
    assert_eq!(different("forked").len(), 3, "one a round: {:?}", different("forked"));
    let table = fs::read_to_string(scratch.join("out/proportions.csv")).unwrap();
    assert!(table.starts_with("method,seed,step,prose,code,lists\nfixed,3,60,0.5,0.3,0.2\n"), "{table}");
    let result = fs::read_to_string(scratch.join("out/runs/forked/seed-3/main/result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    let tokens: u64 = result["tokens"].as_array().unwrap().iter().map(|tokens| tokens.as_u64().unwrap()).sum();
    assert!(tokens.abs_diff(STEPS * 960) < STEPS * 3, "{result}");
    assert_eq!((&result["cost"]["steps"], &result["cost"]["probe_steps"]), (&STEPS.into(), &(3 * 3 * 3).into()), "{result}");
    assert!(!scratch.join("out/runs/forked/seed-3/main/steering").exists(), "there is a result");
    assert_eq!(figures(&scratch.join("out")).len(), 8 * 2 + 3);
}

#[test]
fn a_gang_switches_at_one_step_and_its_ranks_are_counted_together() {
    let settings = paced(1) + "    gang: 2\n";
    let alone = steered(&paced(0), METHODS);
    mix_here(&alone, "out").ok();
    let scratch = steered(&settings, METHODS);
    mix_here(&scratch, "out").ok();
    let expected = trajectories(&scratch, "out", 0);
    assert_eq!(expected, trajectories(&scratch, "out", 1));
    // Both ranks have the same losses, so that one alone decides the same.
    let close = |(own, other): (&String, &String)| {
        let shares = |text: &str| serde_json::from_str::<Vec<f64>>(text).unwrap();
        shares(own).into_iter().zip(shares(other)).all(|(own, other)| (own - other).abs() < 1e-9)
    };
    for (run, steps) in trajectories(&alone, "out", 0) {
        assert!(steps.values().zip(expected[&run].values()).all(close), "{}", run.display());
    }
    let result = fs::read_to_string(scratch.join("out/runs/fixed/seed-3/main/result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["tokens"], serde_json::json!([2 * 60 * 480, 2 * 60 * 288, 2 * 60 * 192]));
}

/// What a file of a run says.
fn told(scratch: &Scratch, out: &str, path: &str) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(scratch.join(out).join(path)).unwrap()).unwrap()
}

#[test]
fn each_run_of_a_swarm_is_led_on_a_mixture_of_its_own() {
    const RUNS: usize = 5;
    let methods = format!(
        "methods: [{{ method: swarm, runs: {RUNS}, steps: 20, law: {{ kind: linear, repetitions: 100 }} }}]\nseeds: [3]\n"
    );
    let scratch = steered(&paced(0), &methods);
    for (out, gang) in [("alone", 1), ("gang", 2)] {
        let settings = if gang == 1 { paced(0) } else { format!("{}    gang: {gang}\n", paced(1)) };
        let spec = fs::read_to_string(steered(&settings, &methods).join("mix.yml")).unwrap();
        scratch.write("mix.yml", spec.replace("lists: }", "lists: { tokens: 20000 } }"));
        mix_here(&scratch, out).ok();
        let fit = told(&scratch, out, "runs/swarm/seed-3/fit.json");
        assert_eq!(fit["points"].as_array().unwrap().len(), RUNS);
        let trained_on = |role: &str, steps: u64| {
            let steps = 0..steps;
            let trace = trace(&scratch.join(out).join(format!("runs/swarm/seed-3/{role}/trainer")), gang - 1);
            let (numbers, shares): (Vec<_>, BTreeSet<_>) = trace.into_iter().unzip();
            assert_eq!(numbers, steps.collect::<Vec<_>>(), "{role}");
            assert_eq!(shares.len(), 1, "{role}: {shares:?}");
            serde_json::from_str::<serde_json::Value>(shares.first().unwrap()).unwrap()
        };
        for (number, point) in fit["points"].as_array().unwrap().iter().enumerate() {
            let result = told(&scratch, out, &format!("runs/swarm/seed-3/run-{number}/result.json"));
            assert_eq!((&result["validation"], &result["test"]), (&point["real"], &serde_json::json!([])));
            assert_eq!(trained_on(&format!("run-{number}"), 20), point["proportions"]);
        }
        assert_eq!(trained_on("main", STEPS), fit["proposal"]);
        let cost = &told(&scratch, out, "report.json")["methods"][0]["runs"][0]["cost"];
        let expected = (STEPS, RUNS as u64 * 20, RUNS as u64);
        assert_eq!(
            (&cost["steps"], &cost["probe_steps"], &cost["validations"]),
            (&expected.0.into(), &expected.1.into(), &expected.2.into())
        );
    }
    let points = |out: &str| told(&scratch, out, "runs/swarm/seed-3/fit.json")["points"].clone();
    assert_eq!(points("alone")[1]["proportions"], points("gang")[1]["proportions"], "the mixtures are the seed's");
}
