//! How good placements are and what they cost: shards of a merge on unlike workers, as the table of docs/placement.md shows.
//! Each column is the makespan above the bound, from the best to the worst seed, and the longest time that one took.
//!
//! `cargo run --release -p braid-coordinator --example placement_quality [200x8 1000x16 1000x64 5000x64 plans]`

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
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The part of all memory that the tasks would fill if each ran where time alone sends it.
const FILL: f64 = 0.7;
/// Threads of each kind of worker, and its link and memory, as multiples of the least.
const SPEEDS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
const LINKS: [f64; 4] = [0.5, 1.0, 1.25, 2.5];
const MEMORY: [f64; 4] = [1.0, 2.0, 2.0, 4.0];

fn main() {
    println!("| shards × workers | seeds | greedy | + search | the whole way |");
    println!("|---|---|---|---|---|");
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    for (shards, nodes, seeds) in [(200, 8, 10), (1000, 16, 10), (1000, 64, 10), (5000, 64, 1)] {
        if is_wanted(&format!("{shards}x{nodes}")) {
            row(shards, nodes, seeds);
        }
    }
    if is_wanted("plans") {
        pending();
    }
}

/// Shards with lognormal sizes and three inputs at random homes, on workers of four speeds, links and sizes of memory. A worker
/// runs several at once: what a shard keeps busy of its threads and of its memory are two rows.
fn instance(shards: usize, nodes: usize, seed: u64) -> Program {
    let rng = &mut Rng::with_seed(seed);
    let usual = MEMORY.iter().sum::<f64>() / MEMORY.len() as f64;
    let mut program = Program::new(nodes, 2, vec![0.0; 2 * nodes]);
    for _ in 0..shards {
        let size = (0.8 * normal(rng)).exp();
        let homes: Vec<usize> = (0..3).map(|_| rng.usize(0..nodes)).collect();
        let holds = 0.5 + rng.f64();
        program.class(1, |node| {
            let kind = node % 4;
            let missing = homes.iter().filter(|home| **home != node).count() as f64 * size;
            let seconds = 4.0 * size / SPEEDS[kind] + (missing + size) / LINKS[kind];
            Some((vec![seconds, seconds * FILL * holds * usual / MEMORY[kind]], 0.0))
        });
    }
    program
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn row(shards: usize, nodes: usize, seeds: u64) {
    let mut columns: [Vec<(f64, Duration)>; 3] = Default::default();
    for seed in 1..=seeds {
        let program = instance(shards, nodes, seed);
        let effort = Effort::THOROUGH;
        let (greedy, t_greedy) = timed(|| list(&program));
        let (searched, t_search) = timed(|| search(&program, greedy.clone(), &mut Budget::new(effort.work)));
        let (solved, t_solve) = timed(|| solve(&program, effort, Budget::new(effort.work)));
        let (Ok(searched), Ok(solved)) = (searched, solved) else { return };
        let gap = |makespan: f64| 100.0 * (makespan / solved.bound - 1.0);
        columns[0].push((gap(program.makespan(&greedy)), t_greedy));
        columns[1].push((gap(program.makespan(&searched)), t_search));
        columns[2].push((gap(solved.makespan), t_solve));
    }
    let [greedy, searched, solved] = columns.map(|mut column| {
        column.sort_by(|a, b| a.0.total_cmp(&b.0));
        let longest = column.iter().map(|(_, time)| *time).max().unwrap_or_default();
        let (least, most) = (column[0].0, column[column.len() - 1].0);
        if column.len() == 1 {
            format!("+{least:.2} % ({longest:.1?})")
        } else {
            format!("+{least:.2}…{most:.2} % ({longest:.1?})")
        }
    });
    println!("| {shards} × {nodes} | {seeds} | {greedy} | {searched} | {solved} |");
}

/// 200 jobs that wait for 64 nodes, planned as a coordinator does.
fn pending() {
    const PLANS: u64 = 200;
    let mut times: Vec<Duration> =
        (0..PLANS).map(|seed| timed(|| plan(&fleet(seed), Effort::QUICK, Budget::new(Effort::QUICK.work))).1).collect();
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("\n200 jobs on 64 nodes, {PLANS} plans: median {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100));
}

fn fleet(seed: u64) -> Problem {
    let rng = &mut Rng::with_seed(seed);
    let nodes = (0..64).map(|at| Candidate {
        node: NodeId(format!("n{at}")),
        offer: Arc::new(Inventory { threads: 8, memory: 64 << 30, kinds: ["merge".to_owned()].into(), ..Inventory::default() }),
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
        warm: Default::default(),
    });
    Problem { classes: classes.collect(), nodes, absent: vec![] }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}
