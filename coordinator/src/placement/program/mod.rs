//! The numbers of placement: which node runs how many tasks of which class, so that the last is done soonest. It knows no jobs
//! and no names: [`plan`](super::plan()) makes a [`Program`] of a problem.
//!
//! A task keeps each *row* of its node (threads, memory, GPUs, link, disk) busy for some seconds; rows of a node work side by
//! side, so a node is done when its busiest row is. With x(i,j) tasks of class i on node j:
//!
//! ```text
//!   min T + Σ cost(i,j) x(i,j)    Σ_j x(i,j) = count(i),   base(j,r) + Σ_i load(i,j,r) x(i,j) ≤ T,   x whole, ≥ 0
//! ```
//! | file | finds |
//! |---|---|
//! | `list` | a whole x at once: longest task first, to where it ends first |
//! | `volume` | prices of the rows, hence a bound that no x beats, and a fractional x near the optimum |
//! | `simplex` | a corner of the relaxation, on the columns that the prices left |
//! | `rounding` | a whole x from a fractional one, at most one task a node above it |
//! | `search` | a better x by moves and swaps from the node that is done last |
//! | `anneal` | a better x where search has ended, by moves that may make it worse for a while |
//! | `exact` | the best whole x and its proof, where few columns can still be better and a solver of integer programs is there |
//! | `solve` | all of these in turn, within a budget |
//!
//! Everything is deterministic: budgets count work, not time. What a solver does is counted by an estimate, and ends at the same
//! answer or, where it takes much longer than that, at none.

mod anneal;
mod budget;
mod exact;
mod list;
mod rounding;
mod search;
mod simplex;
mod solve;
#[cfg(test)]
mod tests;
mod volume;

pub use anneal::anneal;
pub use budget::{Budget, Cancelled};
pub use exact::{Incumbent, Proof, Proven, exact};
pub use solve::{Effort, Solved, solve, solve_with};

pub use list::list;
pub use rounding::round;
pub use search::search;
pub use simplex::{Corner, corner};
pub use volume::{Relaxed, relax};

/// Tasks, nodes, and how long each keeps the rows of the other busy.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    counts: Vec<u32>,
    nodes: usize,
    rows: usize,
    /// `[class][node][row]`, seconds of one task; the first is infinite where the class may not go.
    loads: Vec<f64>,
    /// `[class][node]`, seconds that a task there is worse by than its loads say.
    costs: Vec<f64>,
    /// `[node][row]`, seconds of what is there already.
    base: Vec<f64>,
}

/// How many tasks of each class each node runs: `[class][node]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    nodes: usize,
    counts: Vec<u32>,
}

impl Program {
    /// No tasks yet, and nodes that are busy for so many seconds, row by row: `[node][row]`.
    pub fn new(nodes: usize, rows: usize, base: Vec<f64>) -> Self {
        debug_assert_eq!(base.len(), nodes * rows);
        Self { counts: vec![], nodes, rows, loads: vec![], costs: vec![], base }
    }

    /// Adds a class of equal tasks. `on` gives for a node the seconds that a task keeps each row busy and its further cost, or
    /// `None` where it may not go.
    pub fn class(&mut self, count: u32, mut on: impl FnMut(usize) -> Option<(Vec<f64>, f64)>) {
        self.counts.push(count);
        for node in 0..self.nodes {
            let (loads, cost) = on(node).unwrap_or_else(|| (vec![f64::INFINITY; self.rows], 0.0));
            self.loads.extend((0..self.rows).map(|row| loads.get(row).copied().unwrap_or(0.0)));
            self.costs.push(cost);
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Rows of each node.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Tasks of a class.
    pub fn count(&self, class: usize) -> u32 {
        self.counts[class]
    }

    /// What one task keeps busy, row by row.
    pub fn load(&self, class: usize, node: usize) -> &[f64] {
        let at = (class * self.nodes + node) * self.rows;
        &self.loads[at..at + self.rows]
    }

    /// Whether a class may go to a node.
    pub fn allows(&self, class: usize, node: usize) -> bool {
        self.load(class, node).first().is_none_or(|first| first.is_finite())
    }

    /// Whether a class may go anywhere.
    pub fn is_possible(&self, class: usize) -> bool {
        (0..self.nodes).any(|node| self.allows(class, node))
    }

    fn cost(&self, class: usize, node: usize) -> f64 {
        self.costs[class * self.nodes + node]
    }

    /// Forbids what takes longer than a value that some x has: no better x does it.
    pub fn prune(&mut self, value: f64) {
        for class in 0..self.classes() {
            for node in 0..self.nodes {
                let at = (class * self.nodes + node) * self.rows;
                let rows = self.loads[at..at + self.rows].iter().zip(&self.base[node * self.rows..]);
                if rows.map(|(load, base)| load + base).fold(0.0, f64::max) > value {
                    self.loads[at..at + self.rows].fill(f64::INFINITY);
                }
            }
        }
    }

    /// Seconds until each row is done: `[node][row]`.
    pub fn busy(&self, whole: &Whole) -> Vec<f64> {
        let mut busy = self.base.clone();
        for class in 0..self.classes() {
            for node in 0..self.nodes {
                let count = f64::from(whole.get(class, node));
                if count > 0.0 {
                    let rows = &mut busy[node * self.rows..(node + 1) * self.rows];
                    rows.iter_mut().zip(self.load(class, node)).for_each(|(row, load)| *row += count * load);
                }
            }
        }
        busy
    }

    /// Seconds until the last node is done.
    pub fn makespan(&self, whole: &Whole) -> f64 {
        self.busy(whole).into_iter().fold(0.0, f64::max)
    }

    /// What is minimised: the makespan and all costs.
    pub fn value(&self, whole: &Whole) -> f64 {
        let costs = (0..self.classes()).flat_map(|class| (0..self.nodes).map(move |node| (class, node)));
        let costs = costs.map(|(class, node)| (whole.get(class, node), self.cost(class, node)));
        self.makespan(whole) + costs.filter(|(count, _)| *count > 0).map(|(count, cost)| f64::from(count) * cost).sum::<f64>()
    }
}

impl Whole {
    /// Nothing anywhere.
    pub fn none(program: &Program) -> Self {
        Self { nodes: program.nodes, counts: vec![0; program.nodes * program.classes()] }
    }

    /// Tasks of a class on a node.
    pub fn get(&self, class: usize, node: usize) -> u32 {
        self.counts[class * self.nodes + node]
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, class: usize, node: usize) -> &mut u32 {
        &mut self.counts[class * self.nodes + node]
    }

    /// Tasks of a class on all nodes.
    pub fn placed(&self, class: usize) -> u32 {
        self.counts[class * self.nodes..(class + 1) * self.nodes].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
