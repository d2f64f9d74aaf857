//! A plan: which sequences go to which ranks in each micro-batch, with what that is predicted to take.
//!
//! Plain data: made ahead of the step, stored, sent to workers, replayed by any of them, and checked by
//! [`Plan::check`] against the batch and the cost model it was made for.

use super::{Degree, Millis, Rank};
use serde::{Deserialize, Serialize};

/// The plan of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How many ranks there are.
    pub world: u32,
    /// Whether all ranks wait for each other between micro-batches.
    pub barrier: bool,
    /// In the order in which they run. Without a barrier: every rank runs its groups in this order, and a group starts
    /// when all of its ranks have come to it.
    pub micro_batches: Vec<MicroBatch>,
    /// What the step is predicted to take.
    pub predicted_ms: Millis,
    /// No plan in the same micro-batches (with a barrier), or none at all (without one), takes less.
    pub bound_ms: Millis,
    /// No plan takes less, however the sequences are divided into micro-batches.
    pub any_division_bound_ms: Millis,
}

/// Groups that run side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicroBatch {
    /// The time of its slowest group.
    pub predicted_ms: Millis,
    /// No plan for its sequences takes less.
    pub bound_ms: Millis,
    /// In order of rank.
    pub groups: Vec<Group>,
}

/// Ranks that share sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The first of its ranks; the others follow.
    pub first_rank: Rank,
    /// How many ranks.
    pub degree: Degree,
    /// What it is predicted to take.
    pub predicted_ms: Millis,
    /// Its sequences, as indices of the input, ascending.
    pub sequences: Vec<usize>,
}

impl Group {
    /// Its ranks.
    #[must_use]
    pub fn ranks(&self) -> std::ops::Range<u32> {
        self.first_rank.0..self.first_rank.0 + self.degree.0
    }
}

impl MicroBatch {
    /// How far its time lies above its bound, as a share of the bound.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.predicted_ms.gap_to(self.bound_ms)
    }

    /// Whether no plan for its sequences is faster (to the last digits of arithmetic).
    #[must_use]
    pub fn optimal(&self) -> bool {
        self.gap() <= 1e-9
    }
}

impl Plan {
    /// How far the step's time lies above its bound, as a share of the bound.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.predicted_ms.gap_to(self.bound_ms)
    }

    /// How many sequences it holds.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.micro_batches.iter().flat_map(|m| &m.groups).map(|g| g.sequences.len()).sum()
    }

    /// When each rank is done, if every group starts as soon as all of its ranks have come to it.
    #[must_use]
    pub fn finish(&self) -> Vec<Millis> {
        let mut free = vec![Millis(0.0); self.world as usize];
        for micro_batch in &self.micro_batches {
            if self.barrier {
                let all = free.iter().copied().fold(Millis(0.0), Millis::max);
                free.fill(all);
            }
            for group in &micro_batch.groups {
                let ranks = group.first_rank.0 as usize..(group.first_rank.0 as usize + group.degree.0 as usize).min(free.len());
                let Some(ranks) = free.get_mut(ranks) else { continue };
                let start = ranks.iter().copied().fold(Millis(0.0), Millis::max);
                ranks.fill(start + group.predicted_ms);
            }
        }
        free
    }
}
