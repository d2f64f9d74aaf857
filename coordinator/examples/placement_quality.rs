//! How good placements are and what they cost: shards of a merge on unlike workers, as docs/placement.md shows.
//!
//! `cargo run --release -p braid-coordinator --example placement_quality`

#![allow(clippy::print_stdout)]

use braid_coordinator::{
    model::{Class, Inventory},
    placement::{
        Candidate, Problem, Waiting, plan,
        program::{Budget, Effort, Program, list, search, solve},
    },
};
use braid_workload::{JobId, NodeId};
use fastrand::Rng;
use std::time::{Duration, Instant};

const SEEDS: u64 = 3;

fn main() {
    println!("{:>12} {:>5} {:>16} {:>20} {:>20}", "shards", "seed", "greedy", "+ search", "LP + search");
    for (shards, nodes) in [(200, 8), (1000, 16), (1000, 64), (5000, 64)] {
        for seed in 1..=if shards > 1000 { 1 } else { SEEDS } {
            row(shards, nodes, seed);
        }
    }
    pending();
}

/// Shards with lognormal sizes and three inputs at random homes, on workers of four speeds and four links.
fn instance(shards: usize, nodes: usize, seed: u64) -> Program {
    let rng = &mut Rng::with_seed(seed);
    let (speeds, links) = ([1.0, 2.0, 4.0, 8.0], [0.5, 1.0, 1.25, 2.5]);
    let mut program = Program::new(nodes, 1, vec![0.0; nodes]);
    for _ in 0..shards {
        let size = (0.8 * normal(rng)).exp();
        let homes: Vec<usize> = (0..3).map(|_| rng.usize(0..nodes)).collect();
        program.class(1, |node| {
            let missing = homes.iter().filter(|home| **home != node).count() as f64 * size;
            Some((vec![4.0 * size / speeds[node % 4] + (missing + size) / links[node % 4]], 0.0))
        });
    }
    program
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn row(shards: usize, nodes: usize, seed: u64) {
    let program = instance(shards, nodes, seed);
    let (greedy, t_greedy) = timed(|| list(&program));
    let budget = || Budget::new(Effort::THOROUGH.work);
    let (searched, t_search) = timed(|| search(&program, greedy.clone(), &mut budget()));
    let (solved, t_solve) = timed(|| solve(&program, Effort::THOROUGH, budget()));
    let (Ok(searched), Ok(solved)) = (searched, solved) else { return };
    let gap = |makespan: f64| 100.0 * (makespan / solved.bound - 1.0);
    println!(
        "{:>12} {seed:>5} {:>+7.2} % {:>6.1?} {:>+9.2} % {:>8.1?} {:>+9.2} % {:>8.1?}",
        format!("{shards} x {nodes}"),
        gap(program.makespan(&greedy)),
        t_greedy,
        gap(program.makespan(&searched)),
        t_search,
        gap(solved.makespan),
        t_solve,
    );
}

/// 200 jobs that wait for 64 nodes, planned as a coordinator does.
fn pending() {
    const PLANS: u64 = 50;
    let mut times: Vec<Duration> =
        (0..PLANS).map(|seed| timed(|| plan(&fleet(seed), Effort::QUICK, Budget::new(Effort::QUICK.work))).1).collect();
    times.sort();
    println!("200 jobs on 64 nodes: median {:.1?}, worst of {PLANS} {:.1?}", times[times.len() / 2], times[times.len() - 1]);
}

fn fleet(seed: u64) -> Problem {
    let rng = &mut Rng::with_seed(seed);
    let nodes = (0..64).map(|at| Candidate {
        node: NodeId(format!("n{at}")),
        offer: Inventory { threads: 8, memory: 64 << 30, kinds: ["merge".to_owned()].into(), ..Inventory::default() },
        rate: Some(1e8 * (1.0 + 7.0 * rng.f64())),
        ..Candidate::default()
    });
    let nodes = nodes.collect();
    let classes = (1..=200).map(|job| Waiting {
        job: JobId(job),
        class: Class { wide: rng.bool(), memory: rng.u64(0..16) << 30, ..Class::default() },
        kind: "merge".into(),
        count: rng.u32(1..20),
        bytes: 1e9 * normal(rng).exp(),
        seconds: None,
        warm: [].into(),
    });
    Problem { classes: classes.collect(), nodes, absent: vec![] }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}
