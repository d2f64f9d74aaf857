//! The rows of the program: those that a pass found violated, less those that have not bound for long.

use super::{program::Solution, replay::Step};
use std::collections::{HashMap, HashSet};

/// Programs in which a row may lie idle before it is dropped.
const IDLE: u32 = 4;
/// What a row may be violated by, as a part of the frequency of what was merged.
const TOLERANCE: f64 = 1e-6;
/// How far from binding a row is idle, as a part of the mean slack of a row.
const BINDS: f64 = 1e-6;

/// At step `step`, `pair` is not to be more frequent than what was merged, up to the slack of both.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) step: usize,
    pub(super) pair: u32,
    /// By category: the share of the pair less the share of what was merged.
    pub(super) ahead: Vec<f64>,
    /// Programs since it last bound.
    idle: u32,
}

impl Row {
    pub(super) fn new(step: usize, pair: u32, ahead: Vec<f64>) -> Self {
        Self { step, pair, ahead, idle: 0 }
    }

    /// How far the pair is ahead under some proportions.
    pub(super) fn under(&self, proportions: &[f64]) -> f64 {
        self.ahead.iter().zip(proportions).map(|(ahead, share)| ahead * share).sum()
    }
}

/// All rows, each once, and the slack that steps had in the last program.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    known: HashSet<(usize, u32)>,
    step_slack: HashMap<usize, f64>,
}

impl Rows {
    pub(super) fn all(&self) -> &[Row] {
        &self.rows
    }

    /// Takes in what a step violates beyond its slack, and says how many rows are new.
    pub(super) fn violated(&mut self, step: &Step<'_>) -> usize {
        let slack = self.step_slack.get(&step.step).copied().unwrap_or_default() + TOLERANCE * step.frequency;
        let before = self.rows.len();
        let merged = step.shares(step.merged);
        for ahead in step.ahead.iter().filter(|ahead| ahead.excess > slack) {
            if self.known.insert((step.step, ahead.pair)) {
                let ahead_by = step.shares(ahead.pair).iter().zip(merged).map(|(pair, merged)| pair - merged).collect();
                self.rows.push(Row::new(step.step, ahead.pair, ahead_by));
            }
        }
        self.rows.len() - before
    }

    /// Takes in how the program ended; rows that lie idle are dropped if `drop`.
    pub(super) fn solved(&mut self, solution: &Solution, drop: bool) {
        self.step_slack.clone_from(&solution.step_slack);
        let binds = BINDS * solution.slack / self.rows.len().max(1) as f64;
        for (row, spare) in self.rows.iter_mut().zip(&solution.spare) {
            row.idle = if *spare > binds { row.idle + 1 } else { 0 };
        }
        if drop {
            let known = &mut self.known;
            self.rows.retain(|row| {
                let kept = row.idle < IDLE;
                if !kept {
                    known.remove(&(row.step, row.pair));
                }
                kept
            });
        }
    }
}
