//! The linear program of some rows, solved by Clarabel's interior-point method.
//!
//! An interior point is no vertex: where many slacks are as good, it gives each a little, which cuts off more of what is left
//! than a vertex would.

use super::rows::Row;
use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver as _, NonnegativeConeT, SolverStatus, ZeroConeT},
};
use std::collections::BTreeMap;

/// How exactly a program is solved, as a part of its objective: well below the gap that is asked for at the end.
const TOLERANCE: f64 = 1e-5;

/// What solves the program.
#[derive(Debug)]
pub(super) struct Solution {
    pub(super) proportions: Vec<f64>,
    pub(super) step_slack: BTreeMap<usize, f64>,
    pub(super) pair_slack: BTreeMap<u32, f64>,
    /// A lower bound on the sum of slacks: the value of the dual.
    pub(super) objective: f64,
    /// What each row costs: 0 where it does not bind.
    pub(super) prices: Vec<f64>,
}

/// Where each variable is: categories first, then steps, then pairs.
struct Variables {
    categories: usize,
    steps: BTreeMap<usize, usize>,
    pairs: BTreeMap<u32, usize>,
    all: usize,
}

/// Minimises the sum of slacks. Shares are multiplied by `unit`.
///
/// # Errors
/// The solver's word, when it finds no solution.
pub(super) fn solve(rows: &[Row], categories: usize, unit: f64) -> Result<Solution, String> {
    let variables = Variables::of(rows, categories);
    let matrix = variables.matrix(rows, unit);
    let mut right = vec![0.0; matrix.m];
    right[0] = 1.0;
    let cost: Vec<f64> = (0..variables.all).map(|variable| f64::from(u8::from(variable >= categories))).collect();
    let settings = DefaultSettingsBuilder::default()
        .verbose(false)
        .tol_gap_abs(TOLERANCE)
        .tol_gap_rel(TOLERANCE)
        .build()
        .map_err(|error| error.to_string())?;
    let cones = [ZeroConeT(1), NonnegativeConeT(rows.len() + variables.all)];
    let no_squares = CscMatrix::zeros((variables.all, variables.all));
    let mut solver =
        DefaultSolver::new(&no_squares, &cost, &matrix, &right, &cones, settings).map_err(|error| error.to_string())?;
    solver.solve();
    let found = &solver.solution;
    if !matches!(found.status, SolverStatus::Solved | SolverStatus::AlmostSolved) {
        return Err(format!("{:?} after {} iterations", found.status, found.iterations));
    }
    let slack = |variable: usize| found.x[variable].max(0.0) / unit;
    Ok(Solution {
        proportions: found.x[..categories].to_vec(),
        step_slack: variables.steps.iter().map(|(step, variable)| (*step, slack(*variable))).collect(),
        pair_slack: variables.pairs.iter().map(|(pair, variable)| (*pair, slack(*variable))).collect(),
        objective: found.obj_val.min(found.obj_val_dual) / unit,
        prices: found.z[1..=rows.len()].to_vec(),
    })
}

impl Variables {
    fn of(rows: &[Row], categories: usize) -> Self {
        let mut steps: BTreeMap<usize, usize> = rows.iter().map(|row| (row.step, 0)).collect();
        let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
        for row in rows {
            *uses.entry(row.pair).or_default() += 1;
        }
        // A pair of one row alone needs no slack: that of the step costs the same and does more.
        let mut pairs: BTreeMap<u32, usize> = uses.into_iter().filter(|(_, uses)| *uses > 1).collect();
        let places = categories..;
        for (place, variable) in places.zip(steps.values_mut().chain(pairs.values_mut())) {
            *variable = place;
        }
        let all = categories + steps.len() + pairs.len();
        Self { categories, steps, pairs, all }
    }

    /// Rows: the sum of proportions is 1; each row of the program is at most 0; no variable is negative.
    fn matrix(&self, rows: &[Row], unit: f64) -> CscMatrix<f64> {
        let mut columns: Vec<Vec<(usize, f64)>> = vec![Vec::new(); self.all];
        for column in &mut columns[..self.categories] {
            column.push((0, 1.0));
        }
        for (row, place) in rows.iter().zip(1..) {
            for (column, ahead) in columns.iter_mut().zip(&row.ahead).filter(|(_, ahead)| **ahead != 0.0) {
                column.push((place, ahead * unit));
            }
            for variable in self.steps.get(&row.step).into_iter().chain(self.pairs.get(&row.pair)) {
                columns[*variable].push((place, -1.0));
            }
        }
        for (column, place) in columns.iter_mut().zip(1 + rows.len()..) {
            column.push((place, -1.0));
        }
        let (mut starts, mut places, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in columns {
            for (place, value) in column {
                places.push(place);
                values.push(value);
            }
            starts.push(places.len());
        }
        CscMatrix::new(1 + rows.len() + self.all, self.all, starts, places, values)
    }
}
