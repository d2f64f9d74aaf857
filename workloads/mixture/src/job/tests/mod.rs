//! Whole jobs with a trainer that follows a known law, their tasks in any order, some of them twice, some of them never told of: the
//! figures are the same, and what methods find out is the law.

mod toy;

use super::*;
use crate::Proportions;
use braid_workload::{Advance, AttemptId, Execute, JobId, Progress, TaskContext, TaskSpec, Workload};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

const SPEC: &str = "
domains: { a: a.txt, b: b.txt, c: c.txt }
split: { block: 256, validation: 0.1, test: 0.1 }
context: 16
batch: 6
steps: 60
trainer: { toy: {} }
methods:
  - stratified
  - { method: fixed, proportions: [0.6, 0.3, 0.1] }
  - { method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5, probing: forked }
  - { method: aioli, name: within, round: 20, sweeps: 1, interval: 3, rate: 0.5 }
  - { method: skill-it, every: 20 }
  - { method: doremi }
  - { method: doge, every: 10 }
  - { method: odm, every: 3 }
  - { method: pike, every: 10 }
  - { method: swarm, runs: 12, steps: 20, law: { repetitions: 40, closeness: 0.01 } }
  - { method: merged-proxies, prefix: 20, steps: 10, merges: 12, held_out: 6, law: { repetitions: 40, closeness: 0.01 } }
seeds: [1]
checkpoint_every: 10
";

fn job(folder: &Path) -> MixJob {
    for (name, by) in [("a", 3), ("b", 5), ("c", 7)] {
        let text: String = (0..9000usize).map(|index| char::from(b'a' + ((index * by + index / 11) % 26) as u8)).collect();
        fs::write(folder.join(format!("{name}.txt")), text).unwrap();
    }
    let spec = MixSpec::parse("a.yml", SPEC).unwrap().beside(folder, &toy::trainers()).unwrap();
    MixJob { spec, out: folder.join("out") }
}

fn context(index: u32, attempt: u32) -> TaskContext {
    TaskContext {
        task: JobId(1).task(index),
        attempt: AttemptId(attempt),
        cancel: Default::default(),
        progress: Arc::new(Progress::default()),
        log: Arc::new(|_| {}),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        memory: 0,
        gpus: Vec::new(),
        membership: None,
    }
}

/// Carries a job out, the next task chosen by `choose`. `lives`: after so many tasks all that the coordinator knows is lost.
fn carry_out(job: &MixJob, choose: &mut impl FnMut(usize) -> usize, lives: &[usize]) -> Value {
    let spec = json!(job);
    let (workload, execute) = (MixtureWorkload::new(toy::trainers()), MixtureExecute::new(toy::trainers()));
    let mut attempt = 0;
    for most in lives.iter().copied().chain([usize::MAX]) {
        let plan = workload.plan(&spec).unwrap();
        let (mut state, mut open): (Value, Vec<TaskSpec>) = (plan.state, plan.tasks);
        for _ in 0..most {
            let task = open.remove(choose(open.len()));
            attempt += 1;
            let mut value =
                execute.run(&spec, &task, &context(attempt, 1)).unwrap_or_else(|error| panic!("{}: {error:?}", task.label));
            if choose(8) == 0 {
                // Its worker was lost, and another does it again.
                value = execute.run(&spec, &task, &context(attempt, 2)).unwrap();
            }
            assert!(json!([state, value]).to_string().len() < braid_workload::MAX_RECORD);
            match workload.advance(&spec, &state, &task, &value, open.len()).unwrap() {
                Advance::Continue { state: new, tasks } => {
                    state = new.unwrap_or(state);
                    open.extend(tasks);
                }
                Advance::Finished(result) => return result.details,
                Advance::Failed(failure) => panic!("{failure:?}"),
            }
        }
    }
    unreachable!("the last life has no end")
}

/// Everything in a folder that must not differ.
fn figures(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name != "spec.json") {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().display().to_string(), blake3::hash(&bytes).to_string());
            }
        }
    }
    found
}

#[test]
fn order_second_attempts_and_lost_coordinators_change_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [whole, disturbed] = folders.each_ref().map(|folder| job(folder.path()));
    // First in, first out, and nothing twice.
    carry_out(&whole, &mut |count| if count == 8 { 1 } else { 0 }, &[]);
    let mut chance = 12345u64;
    let mut choose = |count: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) as usize % count
    };
    carry_out(&disturbed, &mut choose, &[1, 9, 30, 3, 60]);
    let (whole, disturbed) = (figures(&whole.out), figures(&disturbed.out));
    let different: Vec<_> =
        whole.iter().filter(|(name, hash)| disturbed.get(*name) != Some(hash)).map(|(name, _)| name).collect();
    assert!(different.is_empty() && whole.len() == disturbed.len(), "{different:?}");
}

#[test]
fn a_swarm_finds_the_law_that_the_trainer_follows_and_costs_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(folder.path());
    let details = carry_out(&job, &mut |_| 0, &[]);
    let report: Report = serde_json::from_str(&fs::read_to_string(job.out.join("report.json")).unwrap()).unwrap();
    let of = |name: &str| report.methods.iter().find(|method| method.name == name).unwrap();
    for fit in &of("swarm").fits {
        assert!(fit.domains.iter().all(|domain| domain.warning.is_none()), "{:?}", fit.domains);
        assert!(fit.mean.spearman.unwrap() > 0.9, "{:?}", fit.mean);
        let mean = |mixture: &Proportions| fit.domains.iter().map(|domain| domain.law.predict(mixture)).sum::<f64>() / 3.0;
        let best = fit.points.iter().map(|point| mean(&point.proportions)).fold(f64::INFINITY, f64::min);
        assert!(mean(&fit.proposal) < best + 0.02, "{} {best}", mean(&fit.proposal));
    }
    assert_eq!(of("merged-proxies").fits[0].mean_of, (6, true));
    let cost = of("swarm").runs[0].cost;
    assert_eq!((cost.steps, cost.probe_steps, cost.validations), (60, 12 * 20, 12));
    let merged = of("merged-proxies").runs[0].cost;
    assert_eq!((merged.steps, merged.probe_steps), (60, (3 + 5 + 6) * 10), "the prefix is a part of the run");
    assert_eq!(details["methods"].as_array().unwrap().len(), 11);
}
