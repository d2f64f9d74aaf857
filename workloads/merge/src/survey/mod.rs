//! Looking at whole models before any of their tensors is merged: methods of which one element depends on a number of all tensors.
//!
//! ```text
//!   Plan ─▶ Survey … Survey ──(all of them)──▶ Survey … Survey ─ … ─▶ Spread ─▶ Tensors …
//!             each looks at        advance adds up,  the next round, or
//!             some tensors         and narrows       the next question
//! ```
//!
//! A method asks questions, one after the other, each knowing the answers before it: for [sums](Question::Sums) over all elements, or for
//! [order statistics](Question::Ranks). Sums take one round. An order statistic is found exactly, by histograms: every round divides the
//! interval that holds it by the number of buckets, until the interval is one number. What tasks find is added up in the state
//! of the job, where no two workers need be alive at once; an exchange between workers would want all of them at once, as a gang, and
//! sums that small gain nothing from it. [`state`] is what is pure of it, and `execute/survey.rs` what looks.
//!
//! The same bytes: which tensors a task looks at is decided by the plan alone. Counts are whole numbers, whose sum has no order. Sums of f64
//! are taken in the order of tensors within a task, and in the order of tasks.

mod counts;
mod search;
mod state;

pub(crate) use search::{Found, Search};
pub(crate) use state::{Asked, Finding, Look, Looking, Next, tasks_of};

use crate::{
    MergeError,
    methods::TensorParameters,
    plan::PlannedTensor,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, Source};
use serde::{Deserialize, Serialize};

/// The part of a method that asks about whole models. All of it but [`sums`](Survey::sums) and [`source`](Survey::source) is pure.
pub trait Survey: Sync {
    /// What the questions depend on, from the tensors that are merged.
    ///
    /// # Errors
    /// What cannot be asked about these tensors, as the end of a sentence that begins with the method.
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<Case, String>;

    /// The question after these answers; none when all is known.
    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question>;

    /// How often all inputs are read for it, told beforehand.
    fn reads(&self, case: &Case) -> u64 {
        let mut answers = Vec::new();
        let mut reads = 0;
        while let Some(question) = self.question(case, &answers) {
            let (rounds, answer) = state::foreseen(&question);
            reads += rounds;
            answers.push(answer);
        }
        reads
    }

    /// The sums of one tensor, for a question of [`Question::Sums`].
    ///
    /// # Errors
    /// Whatever reading meets.
    fn sums(&self, answers: &[Answer], parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<Vec<f64>, MergeError> {
        let _ = (answers, parameters);
        Err(MergeError::Task(format!("nothing of tensor {:?} is to be summed", tiles.name())))
    }

    /// The `index`-th source of a tile, for a question of [`Question::Ranks`].
    ///
    /// # Errors
    /// There is no such source.
    fn source<'t>(
        &self,
        answers: &[Answer],
        parameters: &TensorParameters,
        tile: &Tile<'t>,
        index: usize,
    ) -> Result<Source<'t>, KernelError> {
        let _ = (answers, parameters, tile, index);
        Err(KernelError::Changed)
    }
}

/// What the questions of a survey depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The elements of all tensors that are merged.
    pub elements: u64,
    /// The models that are asked about.
    pub experts: usize,
    /// Whole numbers that the method makes of its parameters.
    pub numbers: Vec<u64>,
}

/// What a method wants to know about whole models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// So many sums over all elements.
    Sums(usize),
    /// The numbers at some ranks (1 is the largest) of each of several sources.
    Ranks {
        /// The ranks of each source, from 1 to the number of elements.
        ranks: Vec<Vec<u64>>,
        /// Most numbers lie among the [`WINDOW`] from here on: only a guess, which saves a round where it is right.
        window: u32,
    },
}

/// The numbers of a first guess: as many as the floats in 64 powers of two.
pub const WINDOW: u64 = 1 << 29;

/// Where the magnitudes of changes lie: below 2 and not below 2⁻⁶³.
pub const MAGNITUDES: u32 = 0x2000_0000;

/// What is known about whole models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Sums, as the bits of f64: any of them may be infinite or no number.
    Sums(Vec<u64>),
    /// For each source its numbers, in the order of the ranks.
    Ranks(Vec<Vec<Found>>),
}

impl Answer {
    /// The sums that were asked for.
    pub fn sums(&self) -> Vec<f64> {
        match self {
            Self::Sums(bits) => bits.iter().map(|bits| f64::from_bits(*bits)).collect(),
            Self::Ranks(_) => Vec::new(),
        }
    }

    /// The number at rank `rank` (of those asked for) of source `source`.
    pub fn number(&self, source: usize, rank: usize) -> Option<u32> {
        match self {
            Self::Sums(_) => None,
            Self::Ranks(found) => Some(found.get(source)?.get(rank)?.number),
        }
    }
}

/// The elements of all tensors.
pub(crate) fn elements(tensors: &[&PlannedTensor]) -> u64 {
    tensors.iter().fold(0u64, |sum, tensor| sum.saturating_add(tensor.elements()))
}

/// What `of` makes of the parameters of a tensor, where it is the same for all of them.
///
/// # Errors
/// Two tensors that differ; `what` names the parameter.
pub(crate) fn alike<T: PartialEq>(
    tensors: &[&PlannedTensor],
    what: &str,
    of: impl Fn(&TensorParameters) -> T,
) -> Result<Option<T>, String> {
    let Some((first, rest)) = tensors.split_first() else { return Ok(None) };
    let value = of(&first.parameters);
    match rest.iter().find(|tensor| of(&tensor.parameters) != value) {
        None => Ok(Some(value)),
        Some(other) => Err(format!(
            "`{what}` is one number for a whole model here, but differs between {:?} and {:?}",
            first.name, other.name
        )),
    }
}
