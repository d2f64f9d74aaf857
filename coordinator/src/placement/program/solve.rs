//! The whole way: list, prices, corner, rounding, search, annealing, within a budget.

use super::{Budget, Cancelled, Incumbent, Program, Proof, Whole, anneal, corner, exact, list, relax, round, search};
use crate::placement::solver::Solvers;
use std::time::Duration;

/// How much a solve may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Work of all steps together, in looks at a load.
    pub work: u64,
    /// Columns that the simplex method takes on; it is left out where there are more.
    pub columns: usize,
    /// What a solver of integer programs may do for the last part of a percent, where there is one.
    pub proof: Proof,
}

/// An answer and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// How many of what where.
    pub whole: Whole,
    /// Seconds until the last node is done.
    pub makespan: f64,
    /// No answer has a smaller value than this; the value is the makespan and the costs.
    pub bound: f64,
    /// What a second of each row is worth: `[node][row]`.
    pub prices: Vec<f64>,
}

impl Effort {
    /// Some milliseconds, as a fleet that runs can spend between two decisions.
    pub const QUICK: Self = Self {
        work: 30_000_000,
        columns: 400,
        proof: Proof { columns: 300, nodes: 20, time: Duration::from_millis(500), counts_late: false },
    };
    /// Classes times nodes up to which [`QUICK`](Self::QUICK) is enough.
    const QUICK_SIZE: usize = 200 * 64;
    /// Times that it is done for the largest questions: some tenths of a second.
    const MOST_QUICK: usize = 12;
    /// Some seconds, for one large question.
    pub const THOROUGH: Self = Self {
        work: 6_000_000_000,
        columns: 6_000,
        proof: Proof { columns: 2_000, nodes: 1_000, time: Duration::from_secs(10), counts_late: true },
    };
}

impl Effort {
    /// As a fleet that runs can spend on so many classes and nodes: more on a larger question, within limits.
    pub fn running(classes: usize, nodes: usize) -> Self {
        // Prices take more turns as well as longer ones.
        let times = classes.saturating_mul(nodes) / Self::QUICK_SIZE;
        let times = times.saturating_mul(times).clamp(1, Self::MOST_QUICK);
        Self { work: Self::QUICK.work * times as u64, columns: Self::QUICK.columns * times, ..Self::QUICK }
    }
}

/// Close enough to the bound: the lengths of tasks are not known better.
const CLOSE: f64 = 1e-3;
/// Shares below these are left out of the corner, in turn: each leads to another rounding, and the best counts.
const NOISE: [f64; 2] = [0.02, 0.05];

/// Solves a program with the best solvers that are compiled in.
///
/// # Errors
/// [`Cancelled`] when the budget's flag was set.
pub fn solve(program: &Program, effort: Effort, budget: Budget) -> Result<Solved, Cancelled> {
    solve_with(Solvers::BEST, program, effort, budget)
}

/// The same, with these.
///
/// # Errors
/// [`Cancelled`] when the budget's flag was set.
pub fn solve_with(solvers: Solvers, program: &Program, effort: Effort, mut budget: Budget) -> Result<Solved, Cancelled> {
    let mut part = budget.split(1, 5);
    let first = search(program, list(program), &mut part)?;
    budget.join(part);
    let target = program.value(&first);
    let mut part = budget.split(2, 5);
    let mut pruned = program.clone();
    pruned.prune(target);
    let mut relaxed = relax(&pruned, target, CLOSE, &mut part)?;
    budget.join(part);
    let mut best = first;
    let mut least = target;
    for (turn, noise) in (1u64..).zip(NOISE) {
        if least <= relaxed.bound * (1.0 + CLOSE) || budget.left() == 0 {
            break;
        }
        let mut part = budget.split(1, 2 + NOISE.len() as u64 - turn);
        let corner = corner(solvers.linear, &pruned, &relaxed.shares, noise, effort.columns, &mut part)?;
        let shares = corner.as_ref().map_or(&relaxed.shares, |corner| &corner.shares);
        let rounded = search(program, round(&pruned, shares), &mut part)?;
        budget.join(part);
        let value = program.value(&rounded);
        if value < least {
            (best, least) = (rounded, value);
        }
        let Some(corner) = corner else { break };
        if let Some((bound, prices)) = corner.proof.filter(|(bound, _)| *bound > relaxed.bound) {
            (relaxed.bound, relaxed.prices) = (bound, prices);
        }
    }
    if least > relaxed.bound * (1.0 + CLOSE) {
        pruned.prune(least);
        let mut part = budget.split(9, 10);
        let annealed = anneal(&pruned, best.clone(), &relaxed.prices, relaxed.bound, &mut part)?;
        budget.join(part);
        let polished = search(program, annealed, &mut budget)?;
        let value = program.value(&polished);
        if value < least {
            (best, least) = (polished, value);
        }
    }
    let mut bound = relaxed.bound.min(least);
    if let Some(solver) = solvers.whole.filter(|_| least > bound * (1.0 + CLOSE)) {
        let from = Incumbent { whole: &best, value: least, bound, prices: &relaxed.prices };
        if let Some(proven) = exact(solver, &pruned, from, CLOSE, effort.proof, &budget)? {
            bound = proven.bound.max(bound);
            best = proven.better.unwrap_or(best);
        }
    }
    Ok(Solved { makespan: program.makespan(&best), whole: best, bound, prices: relaxed.prices })
}
