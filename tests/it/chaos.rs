//! `kill -9` at seeded moments: the same bytes come out, and nothing that was acknowledged is lost.
//!
//! Each case prints its seed; `BRAID_CHAOS_SEED=n` runs that one alone. A kill that comes after the work was done proves
//! nothing, so the tests count those that came in time and demand that most did.

#[cfg(feature = "etcd")]
mod fault;
#[cfg(feature = "etcd")]
mod storm;

use crate::{
    harness::{Coordinator, CoordinatorSetup, Family, SMALL, Scratch, Size, Worker, eventually},
    same_bytes::{Output, reference},
};
use fastrand::Rng;
use std::{
    path::Path,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Enough work for kills to find some: about 135 MB a checkpoint.
const WORK: Size = Size { layers: 6, hidden: 768, vocabulary: 16_384, ..SMALL };

/// The seeds to try, or the one that `BRAID_CHAOS_SEED` names.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("BRAID_CHAOS_SEED") {
        Ok(seed) => vec![seed.parse().expect("BRAID_CHAOS_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

fn pause(rng: &mut Rng, most: u64) {
    sleep(Duration::from_millis(rng.u64(0..=most)));
}

/// A fleet, and what it is to make.
struct Fleet {
    scratch: Scratch,
    expected: Output,
    coordinator: Coordinator,
    workers: Vec<Worker>,
}

impl Fleet {
    fn new(store: Option<String>) -> Self {
        let scratch = Scratch::new();
        let family = Family::write(scratch.path(), WORK, 7);
        let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.3));
        let expected = reference(&scratch, &recipe);
        let coordinator = Coordinator::start(CoordinatorSetup { store, lease: Some("2s".into()), ..CoordinatorSetup::default() });
        let workers = (0..2).map(|_| Worker::spawn(coordinator.address())).collect();
        coordinator.wait_for_nodes(2);
        Self { scratch, expected, coordinator, workers }
    }

    fn state(&self, job: &str) -> Option<String> {
        let run = self.coordinator.braid(["job", "show", job, "-o", "json"]);
        (run.code == Some(0)).then(|| run.json()["state"].as_str().unwrap_or_default().to_owned())
    }

    /// One merge with one kill in it. True when the kill came before the end.
    fn survive(&mut self, seed: u64) -> bool {
        println!("seed {seed}: BRAID_CHAOS_SEED={seed} runs it alone");
        let mut rng = Rng::with_seed(seed);
        let out = format!("out-{seed}");
        let submitted = self.coordinator.braid_in(self.scratch.path(), ["merge", "recipe.yml", &out, "--detach"]).ok();
        let job = submitted.stdout.trim().to_owned();
        pause(&mut rng, 600);
        let in_time = self.state(&job).as_deref() == Some("running");
        match rng.u8(..4) {
            0 | 1 => {
                let victim = rng.usize(..self.workers.len());
                self.workers[victim].kill9();
                pause(&mut rng, 200);
                self.workers[victim].restart();
            }
            2 => {
                self.coordinator.kill9();
                pause(&mut rng, 500);
                self.coordinator.restart();
            }
            _ => {
                self.workers.iter_mut().for_each(Worker::kill9);
                self.coordinator.kill9();
                pause(&mut rng, 200);
                self.coordinator.restart();
                self.workers.iter_mut().for_each(Worker::restart);
            }
        }
        eventually("the coordinator", || self.state(&job));
        let waited = self.coordinator.braid(["job", "wait", &job, "--timeout", "50s"]);
        assert_eq!(waited.code, Some(0), "seed {seed}: {waited}");
        assert_eq!(Output::read(&self.scratch.join(&out)), self.expected, "seed {seed}");
        std::fs::remove_dir_all(self.scratch.join(&out)).unwrap();
        in_time
    }
}

fn survives(store: Option<String>, count: u64) {
    let mut fleet = Fleet::new(store);
    let seeds = seeds(count);
    let in_time = seeds.iter().filter(|seed| fleet.survive(**seed)).count();
    assert!(2 * in_time >= seeds.len(), "only {in_time} of {} kills came before the end of the work", seeds.len());
    let left: Vec<_> = fleet.scratch.names().into_iter().filter(|name| name.ends_with(".braid")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_fleet_survives_kills_with_the_embedded_store() {
    survives(None, 20);
}

#[cfg(feature = "etcd")]
#[test]
fn a_fleet_survives_kills_with_etcd() {
    let etcd = crate::harness::Etcd::spawn();
    survives(Some(etcd.url()), 10);
}

/// What runs on a node that is drained goes on elsewhere, and the node is given nothing until it is opened again.
#[test]
fn a_drained_node_is_empty_and_the_job_ends_without_it() {
    let fleet = Fleet::new(None);
    let names = fleet.coordinator.braid(["node", "ls", "-o", "name"]).ok().stdout;
    let first = names.lines().next().unwrap().to_owned();
    let show = || fleet.coordinator.braid(["node", "show", &first, "-o", "json"]).ok().json();
    let out = fleet.scratch.join("out-drained");
    let args = ["merge", "recipe.yml", "out-drained", "--detach"];
    let job = fleet.coordinator.braid_in(fleet.scratch.path(), args).ok().stdout.trim().to_owned();
    eventually("tasks on the node", || (show()["tasks_running"] != 0).then_some(()));
    fleet.coordinator.braid(["node", "drain", &first, "--deadline", "100ms"]).ok();
    eventually("an empty node", || (show()["tasks_running"] == 0).then_some(()));
    fleet.coordinator.braid(["job", "wait", &job, "--timeout", "50s"]).ok();
    assert_eq!(Output::read(&out), fleet.expected);
    let node = show();
    assert_eq!((&node["cordoned"], &node["draining"], &node["tasks_running"]), (&true.into(), &true.into(), &0.into()));
    fleet.coordinator.braid(["node", "uncordon", &first]).ok();
    assert_eq!(show()["cordoned"], false);
    let unknown = fleet.coordinator.braid(["node", "cordon", "nobody"]);
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(3), "error: there is no node nobody\n"));
}

/// A merge in one process that is killed and run again goes on with what it had, says so, and gives the same bytes.
#[test]
fn a_killed_merge_resumes_when_it_is_run_again() {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), WORK, 8);
    let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.3));
    let begun = Instant::now();
    let expected = reference(&scratch, &recipe);
    // How long it takes says how late a kill may come, on a busy machine too.
    let most = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let mut reused = 0;
    let seeds = seeds(10);
    for seed in &seeds {
        println!("seed {seed}: BRAID_CHAOS_SEED={seed} runs it alone");
        let out = format!("out-{seed}");
        // Run again while the killed one may still be giving its memory back.
        let mut dying = kill_in_the_middle(scratch.path(), &out, &mut Rng::with_seed(*seed), most);
        let killed = !scratch.join(&out).exists();
        let run = scratch.braid(["merge", "recipe.yml", &out]);
        dying.wait().unwrap();
        assert_eq!(run.code, Some(0), "seed {seed}: {run}");
        assert!(killed || run.stdout.contains("already holds"), "seed {seed}: {run}");
        reused += usize::from(run.stdout.contains("reusing"));
        assert_eq!(Output::read(&scratch.join(&out)), expected, "seed {seed}");
    }
    assert!(reused > 0, "no kill of {} left anything to go on with", seeds.len());
    let left: Vec<_> = scratch.names().into_iter().filter(|name| name.ends_with(".braid")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Starts a merge and kills it within so many milliseconds; it may not be gone yet.
fn kill_in_the_middle(folder: &Path, out: &str, rng: &mut Rng, most: u64) -> Child {
    let mut command = crate::harness::command(folder);
    command.args(["merge", "recipe.yml", out, "--threads", "1", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    pause(rng, most);
    child.kill().unwrap();
    child
}
