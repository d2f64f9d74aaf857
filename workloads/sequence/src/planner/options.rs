//! How a step is to be planned.

use super::{
    bound::by_group::Limits,
    pack::refine::{Tries, Work},
};

/// How hard to look for a better plan. Counted in work, never in time, so that plans do not depend on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    /// Tens of milliseconds for 512 sequences on 64 GPUs.
    #[default]
    Fast,
    /// Up to about a second for the same: tighter plans and tighter bounds.
    Thorough,
}

/// What kind of plan is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// How hard to look.
    pub effort: Effort,
    /// Whether all ranks wait for each other between micro-batches (parameters gathered over all, as in ZeRO-3).
    pub barrier: bool,
    /// How many numbers of micro-batches are tried at least, from the smallest that fits.
    pub trials: usize,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { effort: Effort::Fast, barrier: true, trials: 5 }
    }
}

impl Effort {
    /// Cutting planes for the bound by degree.
    pub(crate) fn cuts(self) -> usize {
        match self {
            Self::Fast => 30,
            Self::Thorough => 60,
        }
    }

    /// Comparisons of a sequence with a group, in the search for a step without a barrier.
    pub(crate) fn search(self) -> usize {
        match self {
            Self::Fast => 10_000_000,
            Self::Thorough => 100_000_000,
        }
    }

    pub(crate) fn work(self) -> Work {
        match self {
            Self::Fast => Work {
                goal: 0.01,
                worth: 0.004,
                limits: Limits { rounds: 20, nodes: 1_000 },
                precision: 0.004,
                build: 100,
                repairs: 3,
                tries: Tries { rounds: 6, others: 4, nodes: 500 },
                nodes: 5_000,
            },
            Self::Thorough => Work {
                goal: 0.001,
                worth: 0.000_5,
                limits: Limits { rounds: 40, nodes: 3_000 },
                precision: 0.000_5,
                build: 1_000,
                repairs: 12,
                tries: Tries { rounds: 10, others: 6, nodes: 2_000 },
                nodes: 3_000_000,
            },
        }
    }
}
