//! Whether a plan does what it says: every sequence once, no rank twice, within memory, with true times.
//!
//! What it does not check is the bound: that is the solver's word, which its own tests check.

use super::{Batch, CostModel, Group, Load, MicroBatch, Millis, Plan};
use crate::SequenceError;
use std::collections::HashMap;

/// Times agree to this share; they are computed alike, but a stored plan went through text.
const SAME: f64 = 1e-9;

impl Plan {
    /// Checks this plan against the batch and the cost model it was made for.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, batch: &Batch, cost: &CostModel) -> Result<(), SequenceError> {
        let mut open: HashMap<usize, u64> = batch.sequences.iter().map(|s| (s.index, s.tokens.0)).collect();
        for (micro_batch, m) in self.micro_batches.iter().enumerate() {
            self.check_micro_batch(m, &mut open, cost).map_err(|problem| SequenceError::InvalidPlan { micro_batch, problem })?;
        }
        let at_end =
            |problem: String| SequenceError::InvalidPlan { micro_batch: self.micro_batches.len().saturating_sub(1), problem };
        if let Some(missing) = open.keys().min() {
            return Err(at_end(format!("{} sequences are in no group, {missing} the first of them", open.len())));
        }
        let finish = self.finish().into_iter().fold(Millis(0.0), Millis::max);
        same("the step", self.predicted_ms, finish).map_err(at_end)
    }

    fn check_micro_batch(&self, m: &MicroBatch, open: &mut HashMap<usize, u64>, cost: &CostModel) -> Result<(), String> {
        if self.world != cost.world() {
            return Err(format!("it is for {} ranks, and the cluster has {}", self.world, cost.world()));
        }
        let mut last = 0;
        let mut slowest = Millis(0.0);
        for g in &m.groups {
            let first = g.first_rank.0;
            if first < last {
                return Err(format!("rank {first} is in two groups, or groups are not in order of rank"));
            }
            let time = check_group(g, open, cost).map_err(|problem| format!("group at rank {first}: {problem}"))?;
            last = first.saturating_add(g.degree.0);
            slowest = slowest.max(time);
        }
        same("the micro-batch", m.predicted_ms, slowest)
    }
}

fn check_group(g: &Group, open: &mut HashMap<usize, u64>, cost: &CostModel) -> Result<Millis, String> {
    let kind = cost.kind_at(g.first_rank, g.degree).ok_or_else(|| format!("there is no group of degree {}", g.degree))?;
    let pool = &cost.pools()[kind.pool];
    let (offset, degree) = (g.first_rank.0 - pool.first_rank.0, g.degree.0);
    if offset + degree > pool.gpus {
        return Err(format!("degree {degree} reaches beyond the ranks of class {}", pool.class));
    }
    let in_node = offset % pool.gpus_per_node;
    if in_node + degree > pool.gpus_per_node && in_node != 0 {
        return Err(format!("degree {degree} crosses the edge of a node"));
    }
    if g.sequences.is_empty() {
        return Err("it has no sequence".into());
    }
    let mut load = Load::default();
    for index in &g.sequences {
        let tokens = open.remove(index).ok_or_else(|| format!("sequence {index} is not in the batch, or in two groups"))?;
        load = load.plus(Load::of(tokens));
    }
    if !kind.holds(load) {
        return Err(format!("{} tokens, but its memory holds {}", load.tokens, kind.capacity));
    }
    let time = kind.time(load);
    same("it", g.predicted_ms, time)?;
    Ok(time)
}

fn same(what: &str, said: Millis, is: Millis) -> Result<(), String> {
    if (said.0 - is.0).abs() <= SAME * is.0.max(1.0) {
        Ok(())
    } else {
        Err(format!("{what} is said to take {said} and takes {is}"))
    }
}
