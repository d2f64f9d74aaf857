//! Filling given groups by best fit, longest sequence first: for groups that are all alike, and where memory is so tight
//! that choosing groups one after the other fails.

use super::{Bin, Packing};
use crate::planner::{Load, instance::Instance, layout};

/// Fills groups of these kinds within `makespan`, each sequence where it leaves the least room; none if one does not fit.
pub(crate) fn best_fit(instance: &Instance<'_>, groups: &[usize], makespan: f64) -> Option<Packing> {
    let kinds = instance.kinds();
    let mut bins: Vec<Bin> = groups.iter().map(|&kind| Bin { kind, load: Load::default(), items: Vec::new() }).collect();
    for (item, &load) in instance.items.iter().enumerate() {
        let fullness = |bin: &Bin| {
            let kind = &kinds[bin.kind];
            let then = bin.load.plus(load);
            let time = kind.time(then).0;
            (kind.holds(then) && time <= makespan).then(|| (time / makespan).max(then.tokens as f64 / kind.capacity as f64))
        };
        let fitting = bins.iter().enumerate().filter_map(|(b, bin)| Some((b, fullness(bin)?)));
        let (chosen, _) = fitting.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        bins[chosen].items.push(item);
        bins[chosen].load = bins[chosen].load.plus(load);
    }
    Some(Packing::new(instance, bins))
}

/// For each degree: groups of that degree throughout, filled within the smallest makespan that bisection finds; the best.
pub(crate) fn alike(instance: &Instance<'_>, floor: f64, precision: f64) -> Option<Packing> {
    let mut degrees: Vec<u32> = instance.kinds().iter().map(|k| k.degree.0).collect();
    degrees.sort_unstable();
    degrees.dedup();
    let mut best: Option<Packing> = None;
    for degree in degrees {
        let groups = all_of(instance, degree);
        let attempt = |limit: f64| best_fit(instance, &groups, limit);
        let Some(mut own) = attempt(f64::MAX) else { continue };
        let mut low = floor;
        while own.time - low > precision * own.time && best.as_ref().is_none_or(|b| low < b.time) {
            let middle = 0.5 * (low + own.time);
            match attempt(middle) {
                Some(better) => own = better,
                None => low = middle,
            }
        }
        if best.as_ref().is_none_or(|b| own.time < b.time) {
            best = Some(own);
        }
    }
    best
}

/// As many groups of this degree as fit, and of smaller degrees in what is left of each pool.
fn all_of(instance: &Instance<'_>, degree: u32) -> Vec<usize> {
    let mut groups = Vec::new();
    for (pool, shape) in instance.cost.pools().iter().enumerate() {
        let mut degrees: Vec<u32> = Vec::new();
        let own = instance.kinds().iter().enumerate().filter(|(_, k)| k.pool == pool && k.degree.0 <= degree).rev();
        for (kind, k) in own {
            while layout::fits(shape, degrees.iter().copied().chain([k.degree.0])) {
                degrees.push(k.degree.0);
                groups.push(kind);
            }
        }
    }
    groups
}
