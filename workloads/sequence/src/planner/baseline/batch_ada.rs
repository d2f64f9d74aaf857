//! One degree for each batch, the best for it (FlexSP's "BatchAda").
//!
//! For each degree: best-fit packing into bins of 0.9 of a group's memory, bins dealt to micro-batches in order, groups
//! that would stay empty take sequences from fuller ones, and for degrees of 16 and more the last micro-batch is spread
//! evenly over its groups. The fastest degree is taken.

use super::{Baseline, best_fit_decreasing, descending, groups_of, time};
use crate::planner::{Batch, CostModel, GroupKind, Millis};

/// From this degree on the last micro-batch is spread anew.
const SPREAD_FROM: u32 = 16;

/// The step with the best single degree; none if no degree fits, or the cluster has several pools.
#[must_use]
pub fn batch_ada(batch: &Batch, cost: &CostModel) -> Option<Baseline> {
    let lengths = descending(batch);
    let each = cost.kinds().iter().filter_map(|kind| at(&lengths, cost, kind));
    each.min_by(|a, b| a.predicted.0.total_cmp(&b.predicted.0))
}

fn at(lengths: &[u64], cost: &CostModel, kind: &GroupKind) -> Option<Baseline> {
    let (_, groups) = groups_of(cost, kind.degree)?;
    let longest = *lengths.first()?;
    let capacity = ((kind.capacity as f64 * 0.9) as u64).max(longest);
    if capacity > kind.capacity {
        return None;
    }
    let mut bins = best_fit_decreasing(lengths, capacity)?;
    let whole = bins.len().next_multiple_of(groups);
    bins.resize(whole, Vec::new());
    fill_empty(&mut bins);
    let last = whole - groups;
    if kind.degree.0 >= SPREAD_FROM {
        spread(&mut bins[last..], kind);
    }
    let predicted = bins.chunks(groups).map(|m| m.iter().map(|b| time(kind, b)).fold(0.0, f64::max)).sum();
    Some(Baseline { degree: kind.degree, micro_batches: whole / groups, predicted: Millis(predicted) })
}

/// Every empty bin takes the shortest sequence of the bin that has the most tokens in more than one sequence.
fn fill_empty(bins: &mut [Vec<u64>]) {
    for empty in 0..bins.len() {
        if !bins[empty].is_empty() {
            continue;
        }
        let donors = (0..bins.len()).filter(|&b| bins[b].len() > 1);
        let Some(donor) = donors.max_by_key(|&b| bins[b].iter().sum::<u64>()) else { return };
        let moved = bins[donor].pop();
        bins[empty].extend(moved);
    }
}

/// Longest first, each sequence to the group that is then done soonest; as it was if memory does not allow it.
fn spread(bins: &mut [Vec<u64>], kind: &GroupKind) {
    let mut all: Vec<u64> = bins.iter().flatten().copied().collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let mut anew: Vec<Vec<u64>> = vec![Vec::new(); bins.len()];
    for n in all {
        let fits = |b: &&mut Vec<u64>| b.iter().sum::<u64>() + n <= kind.capacity;
        let Some(bin) = anew.iter_mut().filter(fits).min_by(|a, b| time(kind, a).total_cmp(&time(kind, b))) else { return };
        bin.push(n);
    }
    bins.clone_from_slice(&anew);
}
