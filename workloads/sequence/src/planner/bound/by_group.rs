//! The bound by whole groups: each group is a set of sequences that truly fits, not a share of a pot.
//!
//! ```text
//! max Σ_q b_q π_q   s.t.  Σ_{q in p} π_q ≤ μ d_p  for every set p that a group of degree d_p can hold within T,   π ≥ 0
//! ```
//!
//! If that exceeds N, no plan takes T or less (the configuration LP of bin packing, by its dual). Stronger than the bound
//! by degree where groups hold few sequences. Sets are found as they are needed, by a knapsack for each kind of group,
//! half-way between the LP's point and the best point that is known to be feasible; the prices by degree are such a point
//! to begin with. Any feasible point proves its own sum, so stopping early costs strength, never truth.

use super::by_degree::SAFETY;
use crate::planner::{Load, knapsack::Knapsack, target::Target};
use microlp::{ComparisonOp, OptimizationDirection, Problem, Solution, Variable};

/// A set of sequences that a group of this kind can hold: how many of each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    kind: usize,
    counts: Vec<(usize, u32)>,
}

/// What became of a makespan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Whether no plan takes this makespan or less.
    pub(crate) refuted: bool,
    /// A value of each class such that no group is worth more than its GPUs.
    pub(crate) values: Vec<f64>,
}

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rounds of the LP.
    pub(crate) rounds: usize,
    /// Sets looked at in a knapsack.
    pub(crate) nodes: usize,
}

/// Tries to refute the target, keeping the columns it finds in `columns` for targets to come.
pub(crate) fn refute(target: &Target<'_>, columns: &mut Vec<Column>, limits: Limits) -> Verdict {
    let gpus = target.gpus();
    let classes: Vec<Load> = target.classes.iter().map(|c| c.0).collect();
    let total = |values: &[f64]| target.classes.iter().zip(values).map(|(c, v)| c.1 as f64 * v).sum::<f64>();
    let mut best = target.values.clone();
    let mut best_total = total(&best);
    let done = |best: Vec<f64>, sum: f64| Verdict { refuted: sum > gpus * (1.0 + SAFETY), values: best };
    if best_total > gpus * (1.0 + SAFETY) {
        return done(best, best_total);
    }
    columns.retain(|c| c.fits(target));
    let Some((mut lp, variables)) = master(target, columns) else { return done(best, best_total) };
    for _ in 0..limits.rounds {
        let outer: Vec<f64> = variables.iter().map(|&v| lp.var_value(v).max(0.0)).collect();
        if total(&outer) <= gpus * (1.0 + SAFETY) || total(&outer) <= best_total * (1.0 + 1e-7) {
            break;
        }
        let query: Vec<f64> = outer.iter().zip(&best).map(|(a, b)| 0.5 * (a + b)).collect();
        let (worst, found) = price(target, &classes, &query, limits.nodes);
        let scaled: Vec<f64> = query.iter().map(|v| v / worst.max(1.0)).collect();
        let sum = total(&scaled);
        if sum > best_total {
            (best, best_total) = (scaled, sum);
            if best_total > gpus * (1.0 + SAFETY) {
                break;
            }
        }
        let mut next = lp;
        for column in &found {
            let Some(solved) = next
                .add_constraint(column.row(&variables), ComparisonOp::Le, target.price(column.kind))
                .ok()
                .and_then(|outcome| outcome.into_solution().ok())
            else {
                return done(best, best_total);
            };
            next = solved;
        }
        lp = next;
        columns.extend(found);
    }
    done(best, best_total)
}

impl Column {
    pub(crate) fn new(kind: usize, chosen: &[usize]) -> Self {
        let mut sorted = chosen.to_vec();
        sorted.sort_unstable();
        let counts = sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect();
        Self { kind, counts }
    }

    fn fits(&self, target: &Target<'_>) -> bool {
        let kind = &target.cost.kinds()[self.kind];
        let mut load = Load::default();
        for &(class, count) in &self.counts {
            for _ in 0..count {
                load = load.plus(target.classes[class].0);
            }
        }
        kind.holds(load) && kind.time(load).0 <= target.makespan
    }

    fn row(&self, variables: &[Variable]) -> Vec<(Variable, f64)> {
        self.counts.iter().map(|&(class, count)| (variables[class], f64::from(count))).collect()
    }
}

/// The LP with the columns known so far; every class alone, on its cheapest kind, keeps it bounded.
fn master(target: &Target<'_>, columns: &[Column]) -> Option<(Solution, Vec<Variable>)> {
    let mut lp = Problem::new(OptimizationDirection::Maximize);
    let mut variables = Vec::with_capacity(target.classes.len());
    for (class, &(load, count)) in target.classes.iter().enumerate() {
        let alone = target.kinds_for(load).map(|k| target.price(k)).fold(f64::INFINITY, f64::min);
        if !alone.is_finite() {
            return None;
        }
        debug_assert_eq!(class, variables.len());
        variables.push(lp.add_var(count as f64, (0.0, alone)));
    }
    for column in columns {
        lp.add_constraint(column.row(&variables), ComparisonOp::Le, target.price(column.kind));
    }
    let solution = lp.solve().ok()?.into_solution().ok()?;
    Some((solution, variables))
}

/// By how much the worst set exceeds its GPUs under these values (1 if none does), and the worst set of each kind.
fn price(target: &Target<'_>, classes: &[Load], values: &[f64], nodes: usize) -> (f64, Vec<Column>) {
    let available: Vec<u32> = target.classes.iter().map(|c| c.1 as u32).collect();
    let mut worst = 1.0f64;
    let mut found = Vec::new();
    for kind in target.open_kinds() {
        let price = target.price(kind);
        let mut knapsack = Knapsack::new(kind, &target.cost.kinds()[kind], target.makespan, target.share(kind), classes, values);
        let mut best: Option<(f64, Vec<usize>)> = None;
        let limit = price * (1.0 + 1e-6);
        let mut search = |knapsack: &Knapsack| {
            let mut left = nodes;
            let from = best.as_ref().map_or(limit, |b| b.0);
            knapsack.visit(&available, None, from, false, &mut left, &mut |chosen, value| {
                best = Some((value, chosen.to_vec()));
                value
            })
        };
        let mut all = search(&knapsack);
        let mut ceiling = f64::INFINITY;
        if !all {
            ceiling = knapsack.tighten(&available);
            all = ceiling <= limit || search(&knapsack);
        }
        let found_worth = best.as_ref().map_or(limit, |b| b.0);
        let value = if all { found_worth.min(ceiling.max(limit)) } else { ceiling.max(limit) };
        worst = worst.max(value / price);
        found.extend(best.map(|(_, chosen)| Column::new(kind, &chosen)));
    }
    (worst, found)
}
