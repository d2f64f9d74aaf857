//! The step without a barrier between micro-batches: no rank waits but for the others of its group, so that what counts is the sum
//! of the times of a rank's groups (as in ByteScale), for trainers that gather no parameters over all ranks.
//!
//! ```text
//! barred.rs: the plan with a barrier, as it stands ────────────────────────┐
//!                                      its groups dealt out anew ─┐        │
//! fill.rs: every sequence, longest first, to the group that takes ├ improve.rs ─ the best
//!          least GPU-time more; smallest makespan, by bisection ──┘
//! write.rs: each rank runs its own by descending degree; the n-th group of every rank is micro-batch n
//! ```
//!
//! Where groups nest (powers of two inside a node, and of nodes), all ranks of a group come to it at once in descending order of
//! degree, and a rank is idle only at the end. Groups of other degrees are used only as the plan with a barrier has them.

mod barred;
mod board;
mod fill;
mod improve;
mod write;

use super::{CostModel, Effort, Plan, Sequence, bound::whole_step::whole_step, instance::Instance, solve::Stop};
use board::Board;
use fill::{Placed, Taste, fill};
use improve::improve;
use rayon::prelude::*;

/// Thrifts tried.
const THRIFT: [f64; 3] = [1.0, 0.6, 0.2];
/// Prices of pools tried: speed to this power. At 0 the faster pool is filled with the longest sequences, for they take least
/// GPU-time there, and is then short of time for the others; at 2 it is kept for those that gain most.
const PRICED: [f64; 3] = [0.0, 1.0, 2.0];
/// The first makespan tried lies so far above the bound, as a share; then twice as far.
const ABOVE: f64 = 0.01;
/// How closely the least makespan of a filling is found, as a share of the bound.
const PRECISION: f64 = 2e-3;
/// Ways to begin that are improved.
const STARTS: usize = 3;

/// The best of groups chosen for this objective and those of `barred`, the plan with a barrier, which is never faster.
pub(super) fn plan(sequences: &[Sequence], cost: &CostModel, effort: Effort, barred: &Plan, stop: Stop<'_>) -> Plan {
    let instance = Instance::new(cost, sequences.iter().map(|s| s.tokens.0));
    let bound = whole_step(cost, &instance.classes);
    let given = barred::groups(cost, sequences, barred);
    let dealt = given.clone().map(|placed| barred::deal(cost, placed));
    let mut starts: Vec<Vec<Placed>> = given.into_iter().chain(dealt).collect();
    let reached = starts.iter().map(|placed| busiest(cost, placed)).fold(f64::INFINITY, f64::min);
    starts.extend(tastes(cost).iter().filter_map(|taste| least(&instance, bound, reached, taste, stop)));
    starts.sort_by(|a, b| busiest(cost, a).total_cmp(&busiest(cost, b)));
    starts.dedup_by(|a, b| busiest(cost, a).total_cmp(&busiest(cost, b)).is_eq());
    starts.truncate(STARTS);
    let work = effort.search() / starts.len().max(1);
    let improved =
        starts.into_par_iter().enumerate().map(|(seed, start)| improve(&instance, start, bound, work, seed as u64, stop));
    let improved: Vec<Vec<Placed>> = improved.collect();
    let begun = write::settled(barred::unchanged(barred), cost, sequences, bound);
    improved.iter().map(|placed| write::plan(cost, sequences, placed, bound)).fold(begun, better)
}

/// Ways to fill: with every thrift and, where there are several pools, at several prices of them.
fn tastes(cost: &CostModel) -> Vec<Taste> {
    let time = |pool: usize| {
        let kinds = cost.kinds().iter().filter(|k| k.pool == pool);
        kinds.map(|k| f64::from(k.degree.0) * k.per_token).fold(f64::INFINITY, f64::min)
    };
    let powers = if cost.pools().len() == 1 { &PRICED[..1] } else { &PRICED };
    let prices = powers.iter().map(|power| (0..cost.pools().len()).map(|pool| (time(0) / time(pool)).powf(*power)).collect());
    let prices: Vec<Vec<f64>> = prices.collect();
    let each = THRIFT.into_iter().flat_map(|thrift| prices.iter().map(move |prices| Taste { thrift, prices: prices.clone() }));
    each.collect()
}

/// The least makespan for which filling finds groups, to a share of the bound; none if that is not below `ceiling`.
fn least(instance: &Instance<'_>, bound: f64, ceiling: f64, taste: &Taste, stop: Stop<'_>) -> Option<Vec<Placed>> {
    let (mut low, mut high) = (bound, bound);
    let mut best = None;
    while best.is_none() && high < ceiling && !stop() {
        low = high;
        high = (bound + 2.0 * (high - bound).max(0.5 * ABOVE * bound)).min(ceiling);
        best = fill(instance, high, taste);
    }
    while best.is_some() && high - low > PRECISION * bound && !stop() {
        let middle = 0.5 * (low + high);
        match fill(instance, middle, taste) {
            Some(placed) => (best, high) = (Some(placed), middle),
            None => low = middle,
        }
    }
    best
}

/// What the busiest rank has to do.
fn busiest(cost: &CostModel, placed: &[Placed]) -> f64 {
    Board::with(cost, placed).busy().iter().copied().fold(0.0, f64::max)
}

fn better(a: Plan, b: Plan) -> Plan {
    if b.predicted_ms < a.predicted_ms { b } else { a }
}

#[cfg(test)]
mod tests {
    use crate::planner::{
        Batch, Cluster, CostModel, Degrees, ModelProfile, PlanOptions, Tokens, plan,
        simulate::{Dataset, Lengths},
    };

    fn options(barrier: bool) -> PlanOptions {
        PlanOptions { barrier, ..PlanOptions::default() }
    }

    #[test]
    fn a_step_without_a_barrier_is_valid_and_faster_than_with_one() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        let context = Tokens(384_000);
        for degrees in [Degrees::PowersOfTwo, Degrees::Any] {
            let cost = CostModel::new(&cluster, &model, context, degrees).unwrap();
            for (dataset, seed) in [(Dataset::GitHub, 1), (Dataset::CommonCrawl, 2), (Dataset::Wikipedia, 3)] {
                let batch = Batch::for_context(&Lengths::new(dataset, seed).batch(256, context, 64), context, 64);
                let [free, barred] = [false, true].map(|barrier| plan(&batch, &cost, &options(barrier)).unwrap());
                free.check(&batch, &cost).unwrap();
                assert!(!free.barrier && barred.barrier);
                assert!(
                    free.predicted_ms.0 <= barred.predicted_ms.0,
                    "{dataset:?}: {} of {}",
                    free.predicted_ms,
                    barred.predicted_ms
                );
                // One bound for both: a barrier only takes longer.
                assert!(
                    free.bound_ms.0 <= barred.predicted_ms.0 && free.bound_ms.0 >= barred.any_division_bound_ms.0 * (1.0 - 1e-6)
                );
                assert!(free.gap() < 0.15, "{dataset:?} {degrees:?}: {:.3}", free.gap());
                assert_eq!(free, plan(&batch, &cost, &options(false)).unwrap(), "the same every time");
            }
        }
    }

    #[test]
    fn one_rank_runs_its_micro_batches_one_after_the_other() {
        let mut cluster = Cluster::built_in("a100x64").unwrap();
        (cluster.pools[0].nodes, cluster.pools[0].gpus_per_node) = (1, 1);
        let mut model = ModelProfile::built_in("gpt-7b").unwrap();
        model.parameters[0].gi = 0.5;
        model.parameters.truncate(1);
        let cost = CostModel::new(&cluster, &model, Tokens(4_000), Degrees::PowersOfTwo).unwrap();
        let batch = Batch::exact(&[3_000, 3_000, 3_000, 500].map(Tokens));
        let step = plan(&batch, &cost, &options(false)).unwrap();
        step.check(&batch, &cost).unwrap();
        let sum: f64 = step.micro_batches.iter().map(|m| m.predicted_ms.0).sum();
        assert!((step.predicted_ms.0 - sum).abs() < 1e-6 && step.bound_ms.0 <= step.predicted_ms.0);
    }
}
