//! Trainers that do not do as they should, and specs that ask for what a trainer does not offer: each is told with its reason.

use super::*;
use crate::{harness::SmallDisk, see};

fn refused(settings: &str, methods: &str) -> (Scratch, Run) {
    let scratch = steered(settings, methods);
    let run = braid(scratch.path(), ["-q", "mix", "mix.yml", "out"]);
    assert!(!scratch.join("out/report.json").exists());
    (scratch, run)
}

#[test]
fn a_trainer_that_does_wrong_ends_its_run_with_the_reason() {
    for (wrong, said) in [
        ("nan@8", "fixed, seed 3: domain code, step 60: the training loss is NaN"),
        ("domains@0", "fixed, seed 3: the trainer: expected the domains prose, code, lists, found prose, verse"),
        ("early@0", "fixed, seed 3: expected step 60 (fixed, at step 0), but the trainer reports step 59"),
        ("lost@8", "fixed, seed 3: the trainer's report of step 60 begins at step 1, but its leg began at step 0"),
        ("future@20", "odm, seed 3: the trainer is at step 45, and the report of step 40 is due"),
        ("back@20", "odm, seed 3: the trainer was at step 20, and now asks for step 18"),
        ("leave@20", "odm, seed 3: the trainer is at step 20, and a run of 60 steps with its last losses is due"),
        ("die@20", "odm, seed 3: the trainer: "),
        (
            "hang@20",
            "odm, seed 3: the trainer: another call after the report of step 20 had not come after 2s, and it was stopped",
        ),
    ] {
        let method = if said.starts_with("fixed") {
            "{ method: fixed, proportions: [0.5, 0.3, 0.2] }"
        } else {
            "{ method: odm, every: 20 }"
        };
        let patience = if wrong.starts_with("hang") { "2s" } else { "30s" };
        let settings = format!("    patience: {patience}\n    retries: 0\n    env: {{ WRONG: '{wrong}' }}\n");
        let (_scratch, run) = refused(&settings, &format!("methods: [{method}]\nseeds: [3]\n"));
        assert!(run.code == Some(1) && run.stderr.contains(said), "{wrong}: {run}");
    }
}

#[test]
fn a_trainer_that_dies_is_tried_again() {
    // It dies at step 20 each time, and is given three tries.
    let settings = "    patience: 30s\n    retries: 2\n    env: { WRONG: 'die@20' }\n";
    let (scratch, run) = refused(settings, "methods: [{ method: odm, every: 4 }]\nseeds: [3]\n");
    assert!(run.code == Some(1) && run.stderr.contains("exited with code 9"), "{run}");
    let again = trace(&trainers(&scratch, "out")[0], 0).into_iter().filter(|(step, _)| *step == 15).count();
    assert_eq!(again, 3, "each went on from step 14");
}

#[test]
fn beside_a_full_disk_the_last_weights_stay_and_reports_are_told_later() {
    let settings = "    patience: 30s\n    retries: 0\n    env: { WRONG: 'fill@4' }\n";
    let scratch = steered(settings, "methods: [{ method: sheared, every: 4, targets: [1, 1, 1] }]\nseeds: [3]\n");
    let disk = SmallDisk::mount(scratch.path().join("out"), 4);
    let run = mix_here(&scratch, "out").ok();
    let said = ["cannot record the report in ", "No space left", "2 steps before step 8 were trained on older proportions"];
    assert!(said.iter().all(|said| run.stderr.contains(said)), "{run}");
    let run = disk.path().join("runs/sheared/seed-3/main");
    let (steps, shares): (Vec<_>, Vec<_>) = trace(&run.join("trainer"), 0).into_iter().unzip();
    assert_eq!(steps, (0..STEPS).collect::<Vec<_>>());
    assert!(shares[..6].iter().all(|share| *share == shares[0]) && shares[6] != shares[0], "{shares:?}");
    let history = fs::read_to_string(run.join("history.jsonl")).unwrap();
    let trained: Vec<serde_json::Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["event"] == "trained")
        .collect();
    let told: Vec<_> = trained.iter().map(|line| (line["step"].as_u64().unwrap(), line["stale"].as_u64().unwrap_or(0))).collect();
    assert_eq!(told, (1..=15).map(|leg| (4 * leg, if leg == 2 { 2 } else { 0 })).collect::<Vec<_>>());
    let tokens = |line: &serde_json::Value| line["tokens"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert!(trained.iter().all(|line| tokens(line).abs_diff(4 * 960) < 12), "each step is told once: {history}");
}

#[test]
fn a_method_that_asks_for_more_than_the_trainer_offers_is_refused() {
    let scratch = steered(
        "    offers: [gradients]\n",
        "methods: [{ method: aioli, round: 20, sweeps: 1, interval: 3, probing: forked }]\n",
    );
    see!(scratch, braid(scratch.path(), ["-q", "mix", "mix.yml", "out"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: method aioli asks the trainer for branches beside the run (`branches`), which it does not offer

    hint: have the trainer report it and name it under `offers`, or take another method
    ");
    for (method, said) in [
        ("doremi", "branches beside the run (`branches`)"),
        ("doge", "weights of domains in the objective (`objective`)"),
        ("{ method: merged-proxies, prefix: 10, steps: 10 }", "runs whose models are read and merged by Braid"),
    ] {
        let (_scratch, run) = refused("    offers: [gradients]\n", &format!("methods: [{method}]\n"));
        assert!(run.code == Some(2) && run.stderr.contains(said), "{method}: {run}");
    }
    for (settings, said) in [
        ("    patience: never\n", "trainer: patience \"never\""),
        ("    timeout: 1h\n", "trainer: timeout: a trainer that asks has none"),
        ("    offers: [losses]\n", "trainer: offers: unknown variant `losses`"),
    ] {
        let (_scratch, run) = refused(settings, "methods: [stratified]\n");
        assert!(run.code == Some(2) && run.stderr.contains(said), "{settings}: {run}");
    }
    let (_scratch, run) = refused("", "methods: [proportional]\n");
    assert!(
        run.code == Some(2) && run.stderr.contains("sizes in tokens: expected 3 entries"),
        "nobody says how large lists is: {run}"
    );
    let (_scratch, run) = refused("", "methods: [swarm]\n");
    assert!(run.code == Some(2) && run.stderr.contains("sizes in tokens: expected 3 entries"), "nor for a swarm: {run}");
}
