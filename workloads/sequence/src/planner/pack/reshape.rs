//! Local search over the shapes of the groups: split one in two, or join two of a degree, and fill the groups anew.
//!
//! What the greedy build gets wrong is mostly which groups there are, where memory is tight or one sequence decides the
//! makespan. A new shape is looked at closely only if filling it beats the plan in hand at once.

use super::{Packing, multifit};
use crate::planner::{Degree, instance::Instance, layout};

/// A better plan is better by this share at least.
const BETTER: f64 = 1.0 - 1e-4;
/// How closely the makespan of a new shape is determined.
const PRECISION: f64 = 1e-3;

/// Reshapes until no split and no join helps, or `work` comparisons of a sequence with a group are used up.
pub(super) fn reshape(instance: &Instance<'_>, mut packing: Packing, floor: f64, work: &mut usize) -> Packing {
    let mut groups = shape(instance, &packing);
    while packing.time > floor / BETTER {
        let step = 3 * instance.items.len();
        let mut best: Option<(Packing, Vec<usize>)> = None;
        for changed in neighbours(instance, &groups) {
            // Those that fail at once take a fill by each rule.
            let Some(left) = work.checked_sub(step * changed.len()) else { return finish(packing, best) };
            *work = left;
            let ceiling = best.as_ref().map_or(packing.time, |b| b.0.time) * BETTER;
            if let Some(better) = multifit::least(instance, &changed, floor, ceiling, PRECISION) {
                *work = work.saturating_sub(7 * step * changed.len());
                best = Some((better, changed));
            }
        }
        let Some((better, changed)) = best else { break };
        (packing, groups) = (better, changed);
    }
    packing
}

fn finish(packing: Packing, best: Option<(Packing, Vec<usize>)>) -> Packing {
    best.map_or(packing, |b| b.0)
}

/// The kinds of the groups in use and of those that could be made of idle GPUs, equal ones side by side.
fn shape(instance: &Instance<'_>, packing: &Packing) -> Vec<usize> {
    let mut groups: Vec<usize> = packing.bins.iter().map(|b| b.kind).collect();
    multifit::fill_up(instance, u32::MAX, &mut groups);
    groups.sort_unstable();
    groups
}

/// Every shape that differs by one split or one join.
fn neighbours(instance: &Instance<'_>, groups: &[usize]) -> Vec<Vec<usize>> {
    let kinds = instance.kinds();
    let of_degree = |pool: usize, degree: u32| kinds.iter().position(|k| k.pool == pool && k.degree == Degree(degree));
    let mut all = Vec::new();
    for run in groups.chunk_by(|a, b| a == b) {
        let k = &kinds[run[0]];
        let half = k.degree.0.is_multiple_of(2).then(|| of_degree(k.pool, k.degree.0 / 2)).flatten();
        all.extend(half.map(|half| with(groups, run[0], 1, &[half, half])));
        if run.len() > 1 {
            let double = of_degree(k.pool, 2 * k.degree.0);
            all.extend(double.map(|double| with(groups, run[0], 2, &[double])));
        }
    }
    all.retain(|shape| layout::fits_all(instance.cost, shape.iter().copied()));
    all
}

/// `groups` with `count` of one kind taken away and others put in, in order.
fn with(groups: &[usize], kind: usize, count: usize, others: &[usize]) -> Vec<usize> {
    let from = groups.partition_point(|&g| g < kind);
    let mut changed: Vec<usize> = groups[..from].iter().chain(&groups[from + count..]).chain(others).copied().collect();
    changed.sort_unstable();
    changed
}

#[cfg(test)]
mod tests {
    use super::{super::Bin, *};
    use crate::planner::{Cluster, CostModel, Degrees, Load, ModelProfile, Tokens};

    fn degree(instance: &Instance<'_>, bin: &Bin) -> Degree {
        instance.kinds()[bin.kind].degree
    }

    #[test]
    fn one_long_sequence_gets_a_group_of_its_own_and_the_rest_smaller_ones() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        let cost = CostModel::new(&cluster, &model, Tokens(384_000), Degrees::PowersOfTwo).unwrap();
        let lengths = [82_688].into_iter().chain([9_600; 10]).chain([4_800; 18]);
        let instance = Instance::new(&cost, lengths);
        let start = multifit::alike(&instance, 0.0, 1e-2).unwrap();
        let mut work = 1_000_000;
        let better = reshape(&instance, start.clone(), instance.longest_alone(), &mut work);
        assert!(better.time < 0.97 * start.time && work > 0, "{} of {}", better.time, start.time);
        // The long sequence has 32 GPUs to itself. On all 64 it would be done sooner, and the others would wait.
        let half = cost.kinds().iter().find(|k| k.degree == Degree(32)).unwrap();
        let long = half.time(Load::of(82_688)).0;
        assert!((better.time / long - 1.0).abs() < 1e-3 && instance.longest_alone() < 0.95 * long, "{} of {long}", better.time);
        assert!(better.bins.iter().any(|b| b.items == [0] && degree(&instance, b) == Degree(32)));
        let mut items: Vec<usize> = better.bins.iter().flat_map(|b| b.items.iter().copied()).collect();
        items.sort_unstable();
        assert_eq!(items, (0..29).collect::<Vec<_>>());
        let mut none = 0;
        assert_eq!(reshape(&instance, start.clone(), 0.0, &mut none), start);
    }
}
