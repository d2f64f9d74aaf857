//! Who solves linear and integer programs: one trait, and a solver for each library that is compiled in. It knows no placement;
//! [`program`](super::program) makes its [`Model`]s.
//!
//! ```text
//!   min Σ cost x    lower ≤ row · x ≤ upper for each row,   lower ≤ x ≤ upper for each column, some of them whole
//! ```
//! | solver | library | LP | whole columns | duals, growing models |
//! |---|---|---|---|---|
//! | [`Microlp`] | `microlp`, pure Rust | simplex | branch and bound | – |
//! | `Highs` (feature `highs`) | HiGHS, C++ | dual simplex | branch and cut | yes, from the last basis |
//!
//! The same model has the same answer, unless a time limit ends it.

#[cfg(feature = "highs")]
mod highs;
mod microlp;
mod model;
#[cfg(test)]
mod tests;

#[cfg(feature = "highs")]
pub use self::highs::Highs;
pub use self::microlp::Microlp;
pub use model::{Column, Model, Row};

use std::{fmt::Debug, time::Duration};

/// Solves models.
pub trait Solver: Debug + Send + Sync {
    /// The name of the library.
    fn name(&self) -> &'static str;

    /// Whether an LP's answer has its [`Duals`].
    fn gives_duals(&self) -> bool;

    /// Nanoseconds that a column and a row of an LP of placement cost together, about: what a budget is told, as none but a clock
    /// could tell before the end.
    fn work(&self) -> usize;

    /// Solves a model.
    ///
    /// # Errors
    /// [`NoAnswer`].
    fn solve(&self, model: &Model, limits: &Limits<'_>) -> Result<Answer, NoAnswer>;

    /// Solves an LP, and again with each lot of further columns that `more` names in the light of the last answer, until it names
    /// none. The limits hold for all of it; `more` is not asked where the answer is not proven best.
    ///
    /// # Errors
    /// [`NoAnswer`].
    fn grow(&self, model: &mut Model, limits: &Limits<'_>, more: &mut More<'_>) -> Result<Answer, NoAnswer> {
        loop {
            let answer = self.solve(model, limits)?;
            let columns = if answer.is_proven() { more(&answer) } else { vec![] };
            if columns.is_empty() {
                return Ok(answer);
            }
            columns.into_iter().for_each(|column| model.push_with(column));
        }
    }
}

/// Names further columns, in the light of an answer.
pub type More<'a> = dyn FnMut(&Answer) -> Vec<NewColumn> + 'a;

/// A column for rows that are there: `(row, coefficient)`.
#[derive(Debug, Clone, PartialEq)]
pub struct NewColumn {
    /// The column.
    pub column: Column,
    /// Where it stands.
    pub entries: Vec<(usize, f64)>,
}

/// When to stop before the best answer is found and proven.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// After so long. The answer is then another on another machine.
    pub time: Option<Duration>,
    /// After so many nodes of the search for whole values; 0 is the first alone.
    pub nodes: Option<u32>,
    /// Where no answer can be better by more than this part.
    pub gap: f64,
    /// An answer to begin with, a value for each column. One that does not hold is ignored.
    pub start: Option<&'a [f64]>,
    /// Where this is no longer true; asked now and then by a solver that can look up from its work.
    pub wanted: Option<&'a dyn Fn() -> bool>,
}

impl Default for Limits<'_> {
    /// None at all.
    fn default() -> Self {
        Self { time: None, nodes: None, gap: 0.0, start: None, wanted: None }
    }
}

/// A value for each column, such that all rows hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// By column. Whole where they have to be.
    pub values: Vec<f64>,
    /// What they cost together.
    pub objective: f64,
    /// No answer costs less.
    pub bound: f64,
    /// Why the search for a better one ended.
    pub end: End,
    /// Of an LP, from a solver that has them.
    pub duals: Option<Duals>,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There is no better answer, within the gap.
    Proven,
    /// The limit of nodes, or of the library's own.
    Nodes,
    /// The time was over, or nobody wanted the answer any more.
    Time,
}

impl Answer {
    /// Whether it is the best, within the gap.
    pub fn is_proven(&self) -> bool {
        self.end == End::Proven
    }
}

/// What rows and bounds are worth. With those of an optimum, cost = Σ row · coefficient + column for each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Duals {
    /// By row, what the objective rises by when the bound that holds it rises by one: not above 0 where that is the upper one.
    pub rows: Vec<f64>,
    /// By column, the same of its bounds: the reduced cost.
    pub columns: Vec<f64>,
}

/// Why there are no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No values hold all rows.
    #[error("the model has no feasible answer")]
    Infeasible,
    /// There is always a better one.
    #[error("the model's objective is unbounded")]
    Unbounded,
    /// A limit came before any.
    #[error("a limit ended the search before there was any answer")]
    Limit,
    /// The model holds what is no number, or a row that names no column.
    #[error("the model is malformed: {0}")]
    Malformed(String),
    /// The library gave up.
    #[error("{solver} failed: {problem}")]
    Failed {
        /// Which.
        solver: &'static str,
        /// In its words.
        problem: String,
    },
}

/// Those that placement works with.
#[derive(Debug, Clone, Copy)]
pub struct Solvers {
    /// Of linear programs.
    pub linear: &'static dyn Solver,
    /// Of integer programs, where there is one that is good at those of placement.
    pub whole: Option<&'static dyn Solver>,
}

impl Solvers {
    /// Pure Rust, in every build.
    pub const BUILT_IN: Self = Self { linear: &Microlp, whole: None };

    /// The best of those that are compiled in.
    #[cfg(feature = "highs")]
    pub const BEST: Self = Self { linear: &Highs, whole: Some(&Highs) };
    /// The best of those that are compiled in.
    #[cfg(not(feature = "highs"))]
    pub const BEST: Self = Self::BUILT_IN;

    /// Each that is compiled in.
    pub const ALL: &'static [&'static dyn Solver] = &[
        &Microlp,
        #[cfg(feature = "highs")]
        &Highs,
    ];
}
