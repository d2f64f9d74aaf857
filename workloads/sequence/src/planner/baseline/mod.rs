//! What a step takes without Braid's planner: one degree for all groups, chosen once or for each batch.
//!
//! Both pack by best fit, longest first. They are rivals to measure against, not fallbacks.

mod batch_ada;
mod static_degree;

pub use batch_ada::batch_ada;
pub use static_degree::{best_static, flexsp_static_degree, static_degree};

use super::{Batch, CostModel, Degree, GroupKind, Load, Millis, instance};

/// A step under one degree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// The degree of every group.
    pub degree: Degree,
    /// How many micro-batches.
    pub micro_batches: usize,
    /// What the step is predicted to take, with a barrier between micro-batches.
    pub predicted: Millis,
}

/// Loads of groups, by best fit, longest sequence first, in bins of `capacity` tokens.
fn best_fit_decreasing(lengths: &[u64], capacity: u64) -> Option<Vec<Vec<u64>>> {
    let mut bins: Vec<(u64, Vec<u64>)> = Vec::new();
    for &n in lengths {
        if n > capacity {
            return None;
        }
        let fullest = bins.iter_mut().filter(|b| b.0 + n <= capacity).max_by_key(|b| b.0);
        match fullest {
            Some(bin) => {
                bin.0 += n;
                bin.1.push(n);
            }
            None => bins.push((n, vec![n])),
        }
    }
    Some(bins.into_iter().map(|b| b.1).collect())
}

/// The kind of this degree that every pool has (baselines run on clusters of one pool), and how many groups of it fit.
fn groups_of(cost: &CostModel, degree: Degree) -> Option<(&GroupKind, usize)> {
    let [pool] = cost.pools() else { return None };
    let kind = cost.kinds().iter().find(|k| k.degree == degree)?;
    Some((kind, (pool.gpus / degree.0) as usize))
}

fn time(kind: &GroupKind, sequences: &[u64]) -> f64 {
    kind.time(sequences.iter().fold(Load::default(), |sum, &n| sum.plus(Load::of(n)))).0
}

fn descending(batch: &Batch) -> Vec<u64> {
    instance::descending(batch).iter().map(|s| s.tokens.0).collect()
}
