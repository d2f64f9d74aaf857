//! A plan from nothing: group after group, each for the longest sequence left, of the degree that wastes least.
//!
//! Within a makespan, the company of the longest sequence is found by the knapsack with few nodes; the kind of group is the
//! one whose GPUs are best used. The smallest makespan that this manages is found by bisection.

use super::{Packing, exact};
use crate::planner::{Load, bound::by_degree::Relaxed, instance::Instance, knapsack::Knapsack, layout, target::Target};

/// Sets looked at for one group.
const NODES: usize = 60;
/// Where not even so many times the bound suffices, time is not what is short.
const HOPELESS: f64 = 4.0;

/// Within the target, with `values` of each class and `nodes` sets looked at for a group; none if the GPUs run out first.
pub(crate) fn within(instance: &Instance<'_>, target: &Target<'_>, values: &[f64], nodes: usize) -> Option<Packing> {
    let kinds = instance.kinds();
    let classes: Vec<Load> = target.classes.iter().map(|c| c.0).collect();
    let knapsacks: Vec<Knapsack> =
        target.open_kinds().map(|k| Knapsack::new(k, &kinds[k], target.makespan, target.share(k), &classes, values)).collect();
    let mut counts: Vec<u32> = target.classes.iter().map(|c| c.1 as u32).collect();
    let mut gpus: Vec<u32> = instance.cost.pools().iter().map(|p| p.gpus).collect();
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut longest = 0;
    loop {
        while counts.get(longest) == Some(&0) {
            longest += 1;
        }
        if longest == counts.len() {
            break;
        }
        let mut best: Option<(f64, usize, Vec<usize>)> = None;
        for knapsack in &knapsacks {
            let k = &kinds[knapsack.kind];
            if k.degree.0 > gpus[k.pool] {
                continue;
            }
            let price = target.price(knapsack.kind);
            let floor = best.as_ref().map_or(0.0, |b| b.0 * price);
            let mut nodes = nodes;
            knapsack.visit(&counts, Some(longest), floor, false, &mut nodes, &mut |set, value| {
                best = Some((value / price, knapsack.kind, set.to_vec()));
                value
            });
        }
        let (_, kind, set) = best?;
        set.iter().for_each(|&c| counts[c] -= 1);
        gpus[kinds[kind].pool] -= kinds[kind].degree.0;
        groups.push((kind, set));
    }
    layout::fits_all(instance.cost, groups.iter().map(|g| g.0)).then(|| exact::packing(instance, groups))
}

/// The best that this finds, to a `precision`.
pub(crate) fn build(instance: &Instance<'_>, relaxed: &Relaxed, precision: f64) -> Option<Packing> {
    let attempt = |makespan: f64| {
        let target = Target::new(instance.cost, &instance.classes, &relaxed.prices, makespan)?;
        within(instance, &target, &target.values, NODES)
    };
    let mut low = relaxed.bound;
    let mut high = low;
    let mut best = None;
    while best.is_none() && high < HOPELESS * relaxed.bound {
        low = high;
        high = relaxed.bound + (high - relaxed.bound).max(0.01 * relaxed.bound) * 2.0;
        best = attempt(high);
    }
    let mut best = best?;
    while best.time - low > precision * best.time {
        let middle = 0.5 * (low + best.time);
        match attempt(middle) {
            Some(better) if better.time < best.time => best = better,
            _ => low = middle,
        }
    }
    Some(best)
}
