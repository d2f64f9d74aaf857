//! `kill -9` of everything that takes part in a mixture, at moments that a seed decides.

use super::*;
use crate::{
    chaos,
    harness::{CoordinatorSetup, Process, command},
};
use std::thread;

/// `BRAID_CHAOS_SEED=N cargo test …` tries another.
pub(super) fn chance() -> fastrand::Rng {
    let seed = chaos::seeds(1)[0];
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn a_killed_process_goes_on_with_the_same_trajectory() {
    let scratch = mixture(60);
    mix_here(&scratch, "whole").ok();
    let whole = checkpoints(&scratch, "whole");
    let mut chance = chance();
    let mut killed = 0;
    for life in 0..6 {
        let mut command = command(scratch.path());
        command.args(["mix", "mix.yml", "out"]);
        let before = checkpoints(&scratch, "out");
        let mut process = Process::spawn("mix", command, &scratch.join("mix.log"));
        let until = before + chance.usize(1..6);
        eventually("checkpoints", || (checkpoints(&scratch, "out") >= until || !process.is_running()).then_some(()));
        killed += usize::from(process.is_running());
        process.kill9();
        println!("life {life}: {} checkpoints of {whole}", checkpoints(&scratch, "out"));
    }
    assert!(killed > 0, "nothing was interrupted");
    let run = mix_here(&scratch, "out").ok();
    assert_eq!(figures(&scratch.join("whole")), figures(&scratch.join("out")), "{run}");
}

#[test]
fn killed_workers_and_coordinators_change_nothing() {
    let scratch = mixture(60);
    mix_here(&scratch, "whole").ok();
    let mut chance = chance();
    let setup = CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() };
    let mut coordinator = Coordinator::start(setup);
    let mut workers = [Worker::spawn(coordinator.address()), Worker::spawn(coordinator.address())];
    coordinator.wait_for_nodes(2);
    let mut mix = coordinator.command(scratch.path(), ["mix", "mix.yml", "out"]);
    let mix = thread::spawn(move || mix.output().unwrap());
    for kill in 0..4 {
        let until = checkpoints(&scratch, "out") + chance.usize(1..5);
        eventually("checkpoints", || (checkpoints(&scratch, "out") >= until || mix.is_finished()).then_some(()));
        match chance.usize(..3) {
            2 => coordinator.restart(),
            worker => workers[worker].restart(),
        }
        println!("kill {kill} at {} checkpoints", checkpoints(&scratch, "out"));
    }
    let mix = mix.join().unwrap();
    assert!(mix.status.success(), "{}", String::from_utf8_lossy(&mix.stderr));
    assert_eq!(figures(&scratch.join("whole")), figures(&scratch.join("out")));
}
