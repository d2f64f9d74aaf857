//! `kill -9` of trainer, worker and coordinator at moments that a seed decides.

use super::*;
use crate::{
    chaos,
    harness::{CoordinatorSetup, WorkerSetup},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{process::Output, thread, thread::JoinHandle};

fn chance() -> fastrand::Rng {
    let seed = chaos::seeds(1)[0];
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// A coordinator, workers of so many threads, and a mixture on its way.
fn fleet(scratch: &Scratch, threads: &[usize]) -> (Coordinator, Vec<Worker>, JoinHandle<Output>) {
    let setup = CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() };
    let coordinator = Coordinator::start(setup);
    let worker = |&threads: &usize| WorkerSetup { threads: Some(threads), ..WorkerSetup::default() };
    let workers: Vec<Worker> = threads.iter().map(|threads| Worker::start(coordinator.address(), worker(threads))).collect();
    coordinator.wait_for_nodes(threads.len());
    let mut mix = coordinator.command(scratch.path(), ["mix", "mix.yml", "out"]);
    (coordinator, workers, thread::spawn(move || mix.output().unwrap()))
}

/// Kills the program of one rank of a trainer that runs, if there is one.
fn kill_trainer(scratch: &Scratch, chance: &mut fastrand::Rng, ranks: usize) -> bool {
    let running: Vec<Pid> = trainers(scratch, "out")
        .iter()
        .filter(|trainer| !trainer.with_file_name("result.json").exists())
        .filter_map(|trainer| {
            let pid = fs::read_to_string(trainer.join(format!("rank-{}.pid", chance.usize(..ranks)))).ok()?;
            let pid: i32 = pid.trim().parse().ok()?;
            // Of an earlier life its number may be another's by now.
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let own = format!("BRAID_MIXTURE_FOLDER={}", trainer.display());
            environment.windows(own.len()).any(|part| part == own.as_bytes()).then(|| Pid::from_raw(pid)).flatten()
        })
        .collect();
    let Some(pid) = chance.choice(running) else { return false };
    kill_process(pid, Signal::KILL).is_ok()
}

fn ended(mix: JoinHandle<Output>) {
    let mix = mix.join().unwrap();
    assert!(mix.status.success(), "{}", String::from_utf8_lossy(&mix.stderr));
}

#[test]
fn trainers_workers_and_coordinators_that_are_killed_change_nothing() {
    let scratch = steered(&paced(10), METHODS);
    mix_here(&scratch, "whole").ok();
    let (mut coordinator, mut workers, mix) = fleet(&scratch, &[1, 1]);
    let (mut chance, mut trainers) = (chance(), 0);
    // The coordinator, each worker, and trainers, in an order of the seed's.
    let mut kills = [0, 1, 2, 3, 3, 3, 3, 3];
    chance.shuffle(&mut kills);
    for (kill, what) in kills.into_iter().enumerate() {
        let until = trained(&scratch, "out") + chance.usize(10..40);
        eventually("steps", || (trained(&scratch, "out") >= until || mix.is_finished()).then_some(()));
        println!("kill {kill} of {what} at {} steps", trained(&scratch, "out"));
        match what {
            0 => coordinator.restart(),
            1 | 2 => workers[what - 1].restart(),
            _ => trainers += usize::from(kill_trainer(&scratch, &mut chance, 1)),
        }
    }
    ended(mix);
    assert!(trainers > 0, "no trainer was killed");
    assert_eq!(trajectories(&scratch, "whole", 0), trajectories(&scratch, "out", 0));
    assert_eq!(figures(&scratch.join("whole")), figures(&scratch.join("out")));
}

#[test]
fn ranks_that_are_killed_come_back_together() {
    let settings = paced(5) + "    gang: 2\n";
    let scratch =
        steered(&settings, "methods: [{ method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5 }]\nseeds: [3, 4, 5]\n");
    mix_here(&scratch, "whole").ok();
    let (_coordinator, mut workers, mix) = fleet(&scratch, &[1, 1]);
    let (mut chance, mut killed) = (chance(), 0);
    for kill in 0..5 {
        let until = trained(&scratch, "out") + chance.usize(10..30);
        eventually("steps", || (trained(&scratch, "out") >= until || mix.is_finished()).then_some(()));
        println!("kill {kill} at {} steps", trained(&scratch, "out"));
        if kill == 2 {
            workers[chance.usize(..2)].restart();
        } else {
            killed += usize::from(kill_trainer(&scratch, &mut chance, 2));
        }
    }
    ended(mix);
    assert!(killed > 0, "no rank was killed");
    let expected = trajectories(&scratch, "whole", 0);
    for rank in 0..2 {
        assert_eq!(expected, trajectories(&scratch, "out", rank), "rank {rank}");
    }
    for result in ["history.jsonl", "result.json"] {
        let of = |out: &str| fs::read_to_string(scratch.join(out).join("runs/aioli/seed-3/main").join(result)).unwrap();
        assert_eq!(of("whole"), of("out"), "{result}");
    }
}

#[test]
fn with_the_coordinator_gone_the_method_goes_on() {
    let scratch = steered(&paced(10), "methods: [{ method: aioli, round: 20, sweeps: 1, interval: 3, rate: 0.5 }]\nseeds: [3]\n");
    mix_here(&scratch, "whole").ok();
    let (mut coordinator, _workers, mix) = fleet(&scratch, &[1]);
    eventually("steps", || (trained(&scratch, "out") >= 10).then_some(()));
    coordinator.kill9();
    let run = scratch.join("out/runs/aioli/seed-3/main");
    // All other proportions are decided, and the run ends, while there is no coordinator.
    eventually("the end of the run", || run.join("result.json").exists().then_some(()));
    coordinator.restart();
    ended(mix);
    assert_eq!(trajectories(&scratch, "whole", 0), trajectories(&scratch, "out", 0));
    assert_eq!(trace(&run.join("trainer"), 0).len() as u64, STEPS, "no step was made twice");
}
