//! The proportions under which the merges need the least slack.
//!
//! ```text
//!   minimise  Σ_t v_t + Σ_p v_p
//!   such that Σ_i α_i (c_i(t, p) − c_i(t, m_t)) ≤ v_t + v_p   for every step t and every pair p but the merged one, m_t
//!             Σ_i α_i = 1,  α, v ≥ 0
//! ```
//!
//! c_i(t, p) is the share that pair p has of category i before merge t (Hayase et al., 2024, section 3). v_t makes up for a
//! merged pair that the given text has too rarely, v_p for a pair that it has too often, once for all steps.
//!
//! There are far more rows than bind, so they are found as they are needed:
//!
//! ```text
//!   ┌▶ replay the merges under α, v_p ──▶ an upper bound, and the rows that are violated
//!   └─ solve the program of the rows so far ──▶ α, v_p, and a lower bound      until the bounds meet
//! ```
//!
//! Under given α the least slack is the weight of a matching of steps and pairs (`matching`), so that a program is a search
//! among as many variables as there are categories (`program`), over a model of what was found so far (`model`).
//!
//! A few merges are solved first, and their rows and proportions begin the next stage of more: rows that only wrong
//! proportions violate are then hardly met. What is within a bound of the other is a proof, whatever became of the solver.

mod matching;
mod model;
mod program;
mod replay;
mod rows;
mod timeline;

pub use timeline::Timeline;

use super::InferError;
use model::Model;
use replay::replay;
use rows::Rows;

/// Merges of the first stage; each stage has twice as many as the one before.
const FIRST_STAGE: usize = 250;
/// How far the bounds may lie apart at the end of the last stage, as a part of the upper one.
pub const GAP: f64 = 0.005;
/// The same for stages that only begin the next.
const STAGE_GAP: f64 = 0.05;
/// The gap of a program, as a part of that of its stage.
const OF_GAP: f64 = 0.2;
/// Passes of a stage. Five to ten are usual.
const PASSES: usize = 40;
/// Pairs that one pass may find ahead of one merge.
const AHEAD: usize = 10;

/// What the merges say of the proportions.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// Of pairs of letters, by category. They sum to one.
    pub proportions: Vec<f64>,
    /// The sum of all slack: what the proportions leave unexplained, in pairs as a part of all pairs.
    pub slack: f64,
    /// No proportions need less than this.
    pub bound: f64,
    /// Merges whose pair occurs in some category.
    pub merges: usize,
    /// Merges whose pair was the most frequent under the proportions, without slack.
    pub explained: usize,
    /// Rows of the last program.
    pub rows: usize,
    /// Programs solved.
    pub programs: usize,
}

/// Solves for the first merges of a timeline; `stop` is asked before each program.
///
/// # Errors
/// [`InferError::Unrelated`] where no merge occurs in any category, [`InferError::Solver`], [`InferError::Cancelled`].
pub fn solve(timeline: &Timeline, stop: &dyn Fn() -> bool) -> Result<Solved, InferError> {
    let mut search = Search::new(timeline);
    let all = timeline.merged.len();
    let mut merges = FIRST_STAGE;
    while merges < all {
        search.stage(merges, STAGE_GAP, stop)?;
        merges = merges.saturating_mul(2);
    }
    search.stage(all, GAP, stop)?;
    search.finish()
}

/// Where the search stands.
struct Search<'a> {
    timeline: &'a Timeline,
    rows: Rows,
    proportions: Vec<f64>,
    /// Slack of pairs.
    slack: Vec<f64>,
    /// What the programs have shown: true of all merges, so of every stage that has as many.
    model: Model,
    programs: usize,
    best: Best,
}

/// The best proportions of a stage, and the bounds on its slack.
struct Best {
    proportions: Vec<f64>,
    upper: f64,
    lower: f64,
}

/// What a pass over the merges sees.
#[derive(Default)]
struct Pass {
    upper: f64,
    new: usize,
}

impl<'a> Search<'a> {
    fn new(timeline: &'a Timeline) -> Self {
        let even = vec![1.0 / timeline.categories as f64; timeline.categories];
        let best = Best { proportions: even.clone(), upper: f64::INFINITY, lower: 0.0 };
        let slack = vec![0.0; timeline.pairs.len()];
        let model = Model::new(timeline.categories);
        Self { timeline, rows: Rows::default(), proportions: even, slack, model, programs: 0, best }
    }

    /// Solves for the first `merges`, until the bounds are within `gap` of each other.
    fn stage(&mut self, merges: usize, gap: f64, stop: &dyn Fn() -> bool) -> Result<(), InferError> {
        self.best = Best { proportions: self.proportions.clone(), upper: f64::INFINITY, lower: 0.0 };
        let mut exact = false;
        for _ in 0..PASSES {
            let pass = self.pass(merges);
            if pass.upper < self.best.upper {
                self.best.upper = pass.upper;
                self.best.proportions.clone_from(&self.proportions);
            }
            let apart = self.best.upper - self.best.lower;
            if apart <= gap * self.best.upper || (pass.new == 0 && exact) {
                break;
            }
            if stop() {
                return Err(InferError::Cancelled);
            }
            // While many rows are missing, little is learnt from solving those that are there to the last digit.
            let gap = if pass.new == 0 { gap } else { gap.max(apart / self.best.upper) };
            exact = pass.new == 0;
            self.program(gap)?;
        }
        self.proportions.clone_from(&self.best.proportions);
        Ok(())
    }

    /// Replays the merges, and takes in the rows that are violated.
    fn pass(&mut self, merges: usize) -> Pass {
        let mut pass = Pass { upper: self.slack.iter().sum(), ..Pass::default() };
        let rows = &mut self.rows;
        replay(self.timeline, &self.proportions, &self.slack, (merges, AHEAD), |step| {
            pass.upper += step.ahead.first().map_or(0.0, |first| first.excess);
            pass.new += rows.violated(step);
        });
        pass
    }

    /// Solves the rows so far, to a part of the gap.
    fn program(&mut self, gap: f64) -> Result<(), InferError> {
        let solution = program::solve(self.rows.all(), &self.best.proportions, &mut self.model, gap * OF_GAP)
            .map_err(|problem| InferError::Solver { rows: self.rows.all().len(), problem })?;
        self.programs += 1;
        let progress = solution.bound > self.best.lower * (1.0 + 1e-4);
        self.best.lower = self.best.lower.max(solution.bound);
        self.proportions.clone_from(&solution.proportions);
        self.slack.fill(0.0);
        for (&pair, &slack) in &solution.pair_slack {
            self.slack[pair as usize] = slack;
        }
        // Without progress a row that was dropped might come back for ever.
        self.rows.solved(&solution, progress);
        Ok(())
    }

    fn finish(self) -> Result<Solved, InferError> {
        let Best { proportions, upper, lower } = self.best;
        let (mut merges, mut explained) = (0, 0);
        let none = vec![0.0; self.timeline.pairs.len()];
        replay(self.timeline, &proportions, &none, (self.timeline.merged.len(), 1), |step| {
            merges += 1;
            explained += usize::from(step.ahead.is_empty());
        });
        if merges == 0 {
            return Err(InferError::Unrelated { merges: self.timeline.merged.len() });
        }
        let (rows, programs) = (self.rows.all().len(), self.programs);
        Ok(Solved { proportions, slack: upper, bound: lower.min(upper), merges, explained, rows, programs })
    }
}

#[cfg(test)]
mod tests;
