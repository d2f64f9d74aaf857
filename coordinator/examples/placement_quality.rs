//! How good placements are and what they cost: shards of a merge on unlike workers, as the tables of docs/placement.md show.
//!
//! `cargo run --release -p braid-coordinator --example placement_quality [200x8 1000x16 1000x64 5000x64 running small decisions]`
//!
//! | part | shows |
//! |---|---|
//! | a size | the makespan above the bound, from the best to the worst seed, and the longest time that one took |
//! | `running` | the same with the work of a running fleet, without and with all solvers that are compiled in (`--features highs`) |
//! | `small` | the same of few tasks, where rounding leaves most |
//! | `decisions` | how long one decision takes of 200 jobs on 64 nodes, by greedy placement and by the linear program |

#![allow(clippy::print_stdout)]

use braid_coordinator::{
    model::{Class, Inventory},
    placement::{
        Candidate, Guide, Problem, Waiting, hand_out, plan_with,
        program::{Budget, Effort, Program, list, relax, search, solve_with},
        solver::Solvers,
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
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!("| shards × workers | seeds | greedy | + search | the whole way |\n|---|---|---|---|---|");
    for (shards, nodes, seeds) in [(200, 8, 10), (1000, 16, 10), (1000, 64, 10), (5000, 64, 1)] {
        if is_wanted(&format!("{shards}x{nodes}")) {
            row(shards, nodes, seeds);
        }
    }
    let solvers = Solvers::BEST.whole.map_or("no other solver", |solver| solver.name());
    println!("\n| tasks × workers | seeds | microlp | with {solvers} | of these proven |\n|---|---|---|---|---|");
    for (part, seeds, tasks, nodes) in [
        ("small", 10, 12, 4),
        ("small", 10, 20, 4),
        ("small", 10, 40, 6),
        ("small", 10, 60, 6),
        ("running", 3, 200, 8),
        ("running", 3, 1000, 16),
        ("running", 3, 1000, 64),
    ] {
        if is_wanted(part) {
            as_running(tasks, nodes, seeds);
        }
    }
    if is_wanted("decisions") {
        decisions();
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
    let mut columns: [Column; 3] = Default::default();
    for seed in 1..=seeds {
        let program = instance(shards, nodes, seed);
        let effort = Effort::THOROUGH;
        let (greedy, t_greedy) = timed(|| list(&program));
        let (searched, t_search) = timed(|| search(&program, greedy.clone(), &mut Budget::new(effort.work)));
        let (solved, t_solve) = timed(|| solve_with(Solvers::BUILT_IN, &program, effort, Budget::new(effort.work)));
        let (Ok(searched), Ok(solved)) = (searched, solved) else { return };
        columns[0].add(program.makespan(&greedy), solved.bound, t_greedy);
        columns[1].add(program.makespan(&searched), solved.bound, t_search);
        columns[2].add(solved.makespan, solved.bound, t_solve);
    }
    let [greedy, searched, solved] = columns.map(|column| column.shown());
    println!("| {shards} × {nodes} | {seeds} | {greedy} | {searched} | {solved} |");
}

/// With the work that a running fleet has for it, without and with what else is compiled in.
fn as_running(tasks: usize, nodes: usize, seeds: u64) {
    let effort = Effort::running(tasks, nodes);
    let (mut built_in, mut best, mut proven) = (Column::default(), Column::default(), 0);
    for seed in 1..=seeds {
        let program = instance(tasks, nodes, seed);
        let solve = |solvers| timed(|| solve_with(solvers, &program, effort, Budget::new(effort.work)));
        let ((Ok(first), t_first), (Ok(second), t_second)) = (solve(Solvers::BUILT_IN), solve(Solvers::BEST)) else { return };
        let target = first.makespan.min(second.makespan);
        let Ok(relaxed) = relax(&program, target, 1e-5, &mut Budget::new(Effort::THOROUGH.work)) else { return };
        let bound = relaxed.bound.max(first.bound).max(second.bound);
        built_in.add(first.makespan, bound, t_first);
        best.add(second.makespan, bound, t_second);
        proven += usize::from(second.makespan <= second.bound * 1.001);
    }
    println!("| {tasks} × {nodes} | {seeds} | {} | {} | {proven} |", built_in.shown(), best.shown());
}

/// Parts of a percent above the bound, and times.
#[derive(Default)]
struct Column(Vec<(f64, Duration)>);

impl Column {
    fn add(&mut self, makespan: f64, bound: f64, took: Duration) {
        self.0.push((100.0 * (makespan / bound - 1.0), took));
    }

    /// From the best to the worst, and the longest time.
    fn shown(mut self) -> String {
        self.0.sort_by(|a, b| a.0.total_cmp(&b.0));
        let longest = self.0.iter().map(|(_, time)| *time).max().unwrap_or_default();
        match self.0[..] {
            [] => String::new(),
            [(only, _)] => format!("+{only:.2} % ({longest:.1?})"),
            [(least, _), .., (most, _)] => format!("+{:.2}…{most:.2} % ({longest:.1?})", least.abs()),
        }
    }
}

/// 200 jobs that wait for 64 nodes: what is handed out at once, and the plan beside it.
fn decisions() {
    const TIMES: u64 = 200;
    let problems: Vec<Problem> = (0..TIMES).map(fleet).collect();
    let effort = Effort::running(200, 64);
    println!("\n200 jobs on 64 nodes | median | p99 | longest | in a second\n---|---|---|---|---");
    let show = |name: &str, decide: &dyn Fn(&Problem)| {
        let mut times: Vec<Duration> = problems.iter().map(|problem| timed(|| decide(problem)).1).collect();
        let all: Duration = times.iter().sum();
        times.sort();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let rate = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)) / all.as_secs_f64();
        println!("{name} | {:.1?} | {:.1?} | {:.1?} | {rate:.0}", at(50), at(99), at(100));
    };
    show("greedy", &|problem| drop(hand_out(problem, &mut Guide::default())));
    let plan = |solvers, problem: &Problem| drop(plan_with(solvers, problem, effort, Budget::new(effort.work)));
    show("the linear program", &|problem| plan(Solvers::BUILT_IN, problem));
    if let Some(solver) = Solvers::BEST.whole {
        show(&format!("the same with {}", solver.name()), &|problem| plan(Solvers::BEST, problem));
    }
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
