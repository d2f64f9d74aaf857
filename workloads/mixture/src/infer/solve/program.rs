//! The program of some rows: the proportions under which their matching weighs the least.
//!
//! ```text
//!   ┌▶ lowest point of the cuts ──▶ a lower bound ──▶ proportions between it and the best so far
//!   └─ their heaviest matching ──▶ a cut, an upper bound, slacks                until the bounds meet
//! ```
//!
//! The proportions are the nearest to the best known that the cuts allow to be so much better (the level method: Lemaréchal,
//! Nemirovskii and Nesterov, 1995). There are as many variables as categories, however many rows there are. Cuts stay true when
//! rows come and go, so that each program goes on where the last has ended.

use super::{
    matching::{Graph, Matching},
    model::Model,
    rows::Row,
};
use std::collections::HashMap;

/// Where between the bounds to look next.
const LEVEL: f64 = 0.4;
/// Matchings of one program.
const MATCHINGS: usize = 200;

/// What solves the program.
#[derive(Debug)]
pub(super) struct Solution {
    pub(super) proportions: Vec<f64>,
    /// Slack of steps and pairs by their number.
    pub(super) step_slack: HashMap<usize, f64>,
    pub(super) pair_slack: HashMap<u32, f64>,
    /// The sum of all slack, and what no proportions have less than.
    pub(super) slack: f64,
    pub(super) bound: f64,
    /// By row: how far it is from binding.
    pub(super) spare: Vec<f64>,
}

/// The rows as a graph of steps and pairs.
struct Program<'a> {
    rows: &'a [Row],
    /// The row of each edge.
    order: Vec<usize>,
    steps: Vec<usize>,
    pairs: Vec<u32>,
    graph: Graph,
}

/// Proportions, and what they cost.
struct Point {
    proportions: Vec<f64>,
    matching: Matching,
    slack: f64,
}

/// Solves the program of some rows to within `gap`, from proportions and cuts that are known.
///
/// # Errors
/// The solver's word, when it cannot tell where cuts are lowest.
pub(super) fn solve(rows: &[Row], proportions: &[f64], model: &mut Model, gap: f64) -> Result<Solution, String> {
    let program = Program::new(rows);
    let mut best = program.point(proportions.to_vec(), model);
    let mut bound = 0.0f64;
    for _ in 0..MATCHINGS {
        let lowest = model.lowest()?;
        bound = bound.max(lowest.bound);
        if best.slack - bound <= gap * best.slack {
            break;
        }
        let level = bound + LEVEL * (best.slack - bound);
        // The lowest point of the cuts is on any level, so it will do where the nearest is not found.
        let next = model.nearest(&best.proportions, level).unwrap_or(lowest.proportions);
        let next = program.point(next, model);
        if next.slack < best.slack {
            best = next;
        }
    }
    Ok(program.solution(best, bound))
}

impl<'a> Program<'a> {
    fn new(rows: &'a [Row]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|index| (rows[*index].step, rows[*index].pair));
        let (mut steps, mut pairs): (Vec<usize>, Vec<u32>) = rows.iter().map(|row| (row.step, row.pair)).unzip();
        steps.sort_unstable();
        steps.dedup();
        pairs.sort_unstable();
        pairs.dedup();
        let number = |row: &Row| {
            let step = steps.partition_point(|step| *step < row.step);
            let pair = pairs.partition_point(|pair| *pair < row.pair);
            (step as u32, pair as u32)
        };
        let graph = Graph::new(order.iter().map(|index| number(&rows[*index])));
        Self { rows, order, steps, pairs, graph }
    }

    /// What proportions cost; the model learns it.
    fn point(&self, proportions: Vec<f64>, model: &mut Model) -> Point {
        let weights: Vec<f64> = self.order.iter().map(|index| self.rows[*index].under(&proportions)).collect();
        let matching = self.graph.heaviest(&weights);
        let mut cut = vec![0.0; proportions.len()];
        for edge in matching.edges.iter().flatten() {
            cut.iter_mut().zip(&self.rows[self.order[*edge]].ahead).for_each(|(sum, ahead)| *sum += ahead);
        }
        model.add(cut);
        let slack = matching.step_slack.iter().chain(&matching.pair_slack).sum();
        Point { proportions, matching, slack }
    }

    fn solution(&self, Point { proportions, matching, slack }: Point, bound: f64) -> Solution {
        let Matching { step_slack, pair_slack, .. } = matching;
        let step_slack: HashMap<usize, f64> = self.steps.iter().copied().zip(step_slack).collect();
        let pair_slack: HashMap<u32, f64> = self.pairs.iter().copied().zip(pair_slack).collect();
        let spare = |row: &Row| step_slack[&row.step] + pair_slack[&row.pair] - row.under(&proportions);
        let spare = self.rows.iter().map(spare).collect();
        Solution { proportions, step_slack, pair_slack, slack, bound, spare }
    }
}
