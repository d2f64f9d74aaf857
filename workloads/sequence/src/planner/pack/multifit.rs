//! Filling given groups, longest sequence first, and the least makespan at which that works (MULTIFIT: Coffman, Garey and
//! Johnson 1978): for groups that are all alike, and where memory is so tight that choosing groups one after the other fails.

use super::{Bin, Packing};
use crate::planner::{Load, instance::Instance, layout};

/// Which group with room takes a sequence.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The one that it leaves the least room: of time or of memory, whatever is scarcer there.
    Fullest,
    /// The one of the least degree, where it is computed with the least exchange; of these the fullest.
    Smallest,
    /// The one that is then done first.
    Soonest,
}

const RULES: [Rule; 3] = [Rule::Fullest, Rule::Smallest, Rule::Soonest];

/// Fills groups of these kinds within `makespan` by the first rule that manages; none if none does.
pub(super) fn fill(instance: &Instance<'_>, groups: &[usize], makespan: f64) -> Option<Packing> {
    RULES.iter().find_map(|&rule| by(rule, instance, groups, makespan))
}

fn by(rule: Rule, instance: &Instance<'_>, groups: &[usize], makespan: f64) -> Option<Packing> {
    let kinds = instance.kinds();
    let mut loads = vec![Load::default(); groups.len()];
    let mut owners = Vec::with_capacity(instance.items.len());
    for &load in &instance.items {
        let mut best: Option<(f64, usize)> = None;
        let mut last_empty = usize::MAX;
        for (group, (&kind, &held)) in groups.iter().zip(&loads).enumerate() {
            // Empty groups of one kind stand side by side and are all the same.
            if held.tokens == 0 && std::mem::replace(&mut last_empty, kind) == kind {
                continue;
            }
            let k = &kinds[kind];
            let then = held.plus(load);
            let time = k.time(then).0;
            if !k.holds(then) || time > makespan {
                continue;
            }
            let fullness = || (time / makespan).max(then.tokens as f64 / k.capacity as f64);
            let cost = match rule {
                Rule::Fullest => -fullness(),
                Rule::Smallest => 2.0 * f64::from(k.degree.0) - fullness(),
                Rule::Soonest => time,
            };
            if best.is_none_or(|b| cost < b.0) {
                best = Some((cost, group));
            }
        }
        let (_, group) = best?;
        loads[group] = loads[group].plus(load);
        owners.push(group);
    }
    let mut bins: Vec<Bin> = groups.iter().zip(loads).map(|(&kind, load)| Bin { kind, load, items: Vec::new() }).collect();
    owners.into_iter().enumerate().for_each(|(item, group)| bins[group].items.push(item));
    Some(Packing::new(instance, bins))
}

/// Fills these groups within the least makespan above `floor` that bisection finds and that lies below `ceiling`.
pub(super) fn least(instance: &Instance<'_>, groups: &[usize], floor: f64, ceiling: f64, precision: f64) -> Option<Packing> {
    let mut best = fill(instance, groups, ceiling)?;
    let mut low = floor;
    while best.time - low > precision * best.time {
        let middle = 0.5 * (low + best.time);
        match fill(instance, groups, middle) {
            Some(better) => best = better,
            None => low = middle,
        }
    }
    Some(best)
}

/// For each degree: groups of that degree throughout; the best.
pub(super) fn alike(instance: &Instance<'_>, floor: f64, precision: f64) -> Option<Packing> {
    let mut degrees: Vec<u32> = instance.kinds().iter().map(|k| k.degree.0).collect();
    degrees.sort_unstable();
    degrees.dedup();
    let mut best: Option<Packing> = None;
    for degree in degrees {
        let ceiling = best.as_ref().map_or(f64::MAX, |b| b.time * (1.0 - precision));
        if let Some(better) = least(instance, &all_of(instance, degree), floor, ceiling, precision) {
            best = Some(better);
        }
    }
    best
}

/// As many groups of this degree as fit, and of smaller degrees in what is left of each pool.
fn all_of(instance: &Instance<'_>, degree: u32) -> Vec<usize> {
    let mut groups = Vec::new();
    fill_up(instance, degree, &mut groups);
    groups
}

/// Adds groups of at most this degree, the largest that fit first, until the GPUs of every pool are taken.
pub(super) fn fill_up(instance: &Instance<'_>, degree: u32, groups: &mut Vec<usize>) {
    for (pool, shape) in instance.cost.pools().iter().enumerate() {
        let of_pool = groups.iter().map(|&kind| &instance.kinds()[kind]).filter(|k| k.pool == pool);
        let mut degrees: Vec<u32> = of_pool.map(|k| k.degree.0).collect();
        let own = instance.kinds().iter().enumerate().filter(|(_, k)| k.pool == pool && k.degree.0 <= degree).rev();
        for (kind, k) in own {
            while layout::fits(shape, degrees.iter().copied().chain([k.degree.0])) {
                degrees.push(k.degree.0);
                groups.push(kind);
            }
        }
    }
}
