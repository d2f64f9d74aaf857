//! One degree for the whole training, as DeepSpeed-Ulysses and Megatron run it: best-fit packing, groups filled in turn.

use super::{Baseline, best_fit_decreasing, descending, groups_of, time};
use crate::planner::{Batch, CostModel, Degree, Millis, Tokens, simulate::Dataset};

/// The step at this degree; none if the cluster has no such group, has several pools, or a sequence does not fit.
#[must_use]
pub fn static_degree(batch: &Batch, cost: &CostModel, degree: Degree) -> Option<Baseline> {
    let (kind, groups) = groups_of(cost, degree)?;
    let packs = best_fit_decreasing(&descending(batch), kind.capacity)?;
    let mut times: Vec<f64> = packs.iter().map(|p| time(kind, p)).collect();
    times.sort_by(|a, b| b.total_cmp(a));
    let predicted = times.chunks(groups).map(|m| m[0]).sum();
    Some(Baseline { degree, micro_batches: times.len().div_ceil(groups), predicted: Millis(predicted) })
}

/// The fastest degree of those that fit.
#[must_use]
pub fn best_static(batch: &Batch, cost: &CostModel) -> Option<Baseline> {
    let each = cost.kinds().iter().filter_map(|k| static_degree(batch, cost, k.degree));
    each.min_by(|a, b| a.predicted.0.total_cmp(&b.predicted.0))
}

/// The degree that FlexSP's experiments fix for 64 GPUs: 64 above a context of 192 000 and for Wikipedia, else 32.
#[must_use]
pub fn flexsp_static_degree(context: Tokens, dataset: Dataset) -> Degree {
    if context.0 > 192_000 || dataset == Dataset::Wikipedia { Degree(64) } else { Degree(32) }
}
