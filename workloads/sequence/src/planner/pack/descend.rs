//! Local search: take load off the slowest group by moving one of its sequences, or swapping it for a shorter one.

use super::{Bin, Packing};
use crate::planner::{Load, instance::Instance};

/// A change of two bins.
#[derive(Debug, Clone, Copy)]
struct Change {
    to: usize,
    item: usize,
    /// What comes back.
    back: Option<usize>,
}

/// Improves `packing` until no move or swap takes time off the slowest bin, at most `steps` times.
pub(crate) fn descend(instance: &Instance<'_>, packing: Packing, steps: usize) -> Packing {
    let mut bins = packing.bins;
    for _ in 0..steps {
        let Some(slowest) = slowest(instance, &bins) else { break };
        let Some(change) = best_change(instance, &bins, slowest) else { break };
        apply(instance, &mut bins, slowest, change);
    }
    Packing::new(instance, bins)
}

fn slowest(instance: &Instance<'_>, bins: &[Bin]) -> Option<usize> {
    let time = |b: &Bin| instance.kinds()[b.kind].time(b.load).0;
    (0..bins.len()).max_by(|&a, &b| time(&bins[a]).total_cmp(&time(&bins[b])))
}

fn best_change(instance: &Instance<'_>, bins: &[Bin], from: usize) -> Option<Change> {
    let kinds = instance.kinds();
    let source = &bins[from];
    let before = kinds[source.kind].time(source.load).0;
    let mut best: Option<Change> = None;
    let mut limit = before * (1.0 - 1e-9);
    let mut previous = Load::default();
    for &item in &source.items {
        let load = instance.items[item];
        if load == previous {
            continue;
        }
        previous = load;
        let without = source.load.minus(load);
        for (to, target) in bins.iter().enumerate().filter(|(to, _)| *to != from) {
            let kind = &kinds[target.kind];
            let mut consider = |back: Option<usize>| {
                let returned = back.map_or_else(Load::default, |b| instance.items[b]);
                let there = target.load.minus(returned).plus(load);
                let here = without.plus(returned);
                if !kind.holds(there) || !kinds[source.kind].holds(here) {
                    return;
                }
                let time = kind.time(there).0.max(kinds[source.kind].time(here).0);
                if time < limit {
                    limit = time;
                    best = Some(Change { to, item, back });
                }
            };
            consider(None);
            let mut last = Load::default();
            for &back in &target.items {
                let other = instance.items[back];
                if other.tokens < load.tokens && other != last {
                    consider(Some(back));
                    last = other;
                }
            }
        }
    }
    best
}

fn apply(instance: &Instance<'_>, bins: &mut [Bin], from: usize, change: Change) {
    let shift = |bins: &mut [Bin], from: usize, to: usize, item: usize| {
        bins[from].items.retain(|&i| i != item);
        bins[from].load = bins[from].load.minus(instance.items[item]);
        let at = bins[to].items.partition_point(|&i| i < item);
        bins[to].items.insert(at, item);
        bins[to].load = bins[to].load.plus(instance.items[item]);
    };
    shift(bins, from, change.to, change.item);
    if let Some(back) = change.back {
        shift(bins, change.to, from, back);
    }
}
