//! What is known of the sum of slacks as a function of the proportions: it is convex, and each matching that was ever found bounds
//! it from below by a linear function (a cut). Two small programs are asked of the cuts, by Clarabel's interior-point method.

use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver as _, NonnegativeConeT, SolverStatus, ZeroConeT},
};

/// Cuts that are kept for each category, beside some for all.
const KEPT: usize = 4;

/// A function of the proportions that is nowhere above the sum of slacks: the greatest of some linear functions.
#[derive(Debug, Clone)]
pub(super) struct Model {
    categories: usize,
    /// Slack by category: the value of a cut is its mean under the proportions.
    cuts: Vec<Cut>,
}

#[derive(Debug, Clone)]
struct Cut {
    slack: Vec<f64>,
    /// Programs since it last held the bound.
    idle: u32,
}

/// Where the model is lowest.
#[derive(Debug, Clone)]
pub(super) struct Lowest {
    pub(super) proportions: Vec<f64>,
    /// No proportions have less slack: a combination of cuts proves it, whatever became of the solver.
    pub(super) bound: f64,
}

impl Model {
    pub(super) fn new(categories: usize) -> Self {
        Self { categories, cuts: Vec::new() }
    }

    /// Adds a cut, and forgets one that has not mattered for longest where there are too many.
    pub(super) fn add(&mut self, slack: Vec<f64>) {
        if self.cuts.len() >= KEPT * self.categories + 64
            && let Some(oldest) = (0..self.cuts.len()).max_by_key(|index| self.cuts[*index].idle)
        {
            self.cuts.swap_remove(oldest);
        }
        self.cuts.push(Cut { slack, idle: 0 });
    }

    /// Minimises the model.
    ///
    /// # Errors
    /// The solver's word.
    pub(super) fn lowest(&mut self) -> Result<Lowest, String> {
        let unit = self.unit();
        // Variables: the proportions, and the value that no cut is above.
        let mut cost = vec![0.0; self.categories];
        cost.push(1.0);
        let (found, prices) = self.solve(&cost, 0.0, &vec![0.0; self.cuts.len()], true, unit)?;
        let sum: f64 = prices.iter().map(|price| price.max(0.0)).sum();
        let mut mixed = vec![0.0; self.categories];
        for (cut, price) in self.cuts.iter_mut().zip(&prices) {
            let part = if sum > 0.0 { price.max(0.0) / sum } else { 0.0 };
            cut.idle = if part < 1e-6 { cut.idle.saturating_add(1) } else { 0 };
            mixed.iter_mut().zip(&cut.slack).for_each(|(mixed, slack)| *mixed += part * slack);
        }
        let bound = mixed.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Lowest { proportions: found, bound: if bound.is_finite() { bound.max(0.0) } else { 0.0 } })
    }

    /// The proportions nearest to others at which the model is at most `level`.
    ///
    /// # Errors
    /// The solver's word.
    pub(super) fn nearest(&self, to: &[f64], level: f64) -> Result<Vec<f64>, String> {
        let unit = self.unit();
        let cost: Vec<f64> = to.iter().map(|share| -share).collect();
        self.solve(&cost, 1.0, &vec![level * unit; self.cuts.len()], false, unit).map(|(found, _)| found)
    }

    /// Numbers near 1 are what a solver is made for.
    fn unit(&self) -> f64 {
        let greatest = self.cuts.iter().flat_map(|cut| &cut.slack).fold(0.0f64, |greatest, slack| greatest.max(slack.abs()));
        if greatest > 0.0 { 1.0 / greatest } else { 1.0 }
    }

    /// Minimises `cost · x + square |x|² / 2` over proportions, with a value as one more variable if `valued`, under cuts of at
    /// most `limits` (and the value); the proportions, and the price of each cut.
    fn solve(&self, cost: &[f64], square: f64, limits: &[f64], valued: bool, unit: f64) -> Result<(Vec<f64>, Vec<f64>), String> {
        let (variables, cuts) = (cost.len(), self.cuts.len());
        let mut columns: Vec<Vec<(usize, f64)>> = Vec::with_capacity(variables);
        for category in 0..self.categories {
            let mut column = vec![(0, 1.0)];
            column.extend(self.cuts.iter().zip(1..).map(|(cut, row)| (row, cut.slack[category] * unit)));
            column.push((1 + cuts + category, -1.0));
            columns.push(column);
        }
        if valued {
            columns.push((1..=cuts).map(|row| (row, -1.0)).collect());
        }
        let rows = 1 + cuts + self.categories;
        let mut right = vec![1.0];
        right.extend(limits);
        right.resize(rows, 0.0);
        let squares = diagonal(variables, square);
        let settings = DefaultSettingsBuilder::default().verbose(false).build().map_err(|error| error.to_string())?;
        let cones = [ZeroConeT(1), NonnegativeConeT(cuts + self.categories)];
        let matrix = sparse(rows, columns);
        let mut solver =
            DefaultSolver::new(&squares, cost, &matrix, &right, &cones, settings).map_err(|error| error.to_string())?;
        solver.solve();
        let found = &solver.solution;
        if !matches!(found.status, SolverStatus::Solved | SolverStatus::AlmostSolved) {
            return Err(format!("{:?} after {} iterations", found.status, found.iterations));
        }
        Ok((simplex(&found.x[..self.categories]), found.z[1..=cuts].to_vec()))
    }
}

fn diagonal(size: usize, value: f64) -> CscMatrix<f64> {
    if value == 0.0 { CscMatrix::zeros((size, size)) } else { sparse(size, (0..size).map(|row| vec![(row, value)]).collect()) }
}

/// A matrix of columns, each of (row, value) in the order of rows.
fn sparse(rows: usize, columns: Vec<Vec<(usize, f64)>>) -> CscMatrix<f64> {
    let count = columns.len();
    let (mut starts, mut places, mut values) = (vec![0], Vec::new(), Vec::new());
    for column in columns {
        for (place, value) in column {
            places.push(place);
            values.push(value);
        }
        starts.push(places.len());
    }
    CscMatrix::new(rows, count, starts, places, values)
}

/// The same without what rounding has left of negative numbers, summing to one.
pub(super) fn simplex(proportions: &[f64]) -> Vec<f64> {
    let sum: f64 = proportions.iter().map(|share| share.max(0.0)).sum();
    let even = 1.0 / proportions.len() as f64;
    proportions.iter().map(|share| if sum > 0.0 { share.max(0.0) / sum } else { even }).collect()
}
