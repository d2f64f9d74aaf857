//! Large-neighbourhood search: take the slowest groups and a few others, and pack anew what is in them, exactly.
//!
//! To get below a target, every group above it has to be taken apart. Together with some other groups its sequences and
//! GPUs are a small problem of their own, for which the exact search may also choose other degrees. Where it says yes for
//! each such group, the plan as a whole meets the target.

use super::{
    Bin, Packing,
    exact::{self, Answer, Question},
};
use crate::planner::{instance::Instance, layout, target::Target};

/// How hard to try to meet one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    /// Choices of other groups for each group above the target.
    pub(crate) rounds: usize,
    /// The most other groups that are taken apart with it.
    pub(crate) others: usize,
    /// Sets looked at in each exact search.
    pub(crate) nodes: usize,
}

/// Brings every group of `packing` within the target, or gives up. `seed` varies the choices of other groups.
pub(crate) fn repair(
    instance: &Instance<'_>,
    packing: &Packing,
    target: &Target<'_>,
    tries: Tries,
    seed: u64,
) -> Option<Packing> {
    let class_of = class_of(instance);
    let mut bins = packing.bins.clone();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut idle = idle_gpus(instance, &bins);
    while let Some(over) = above(instance, &bins, target.makespan) {
        let mut done = false;
        for round in 0..tries.rounds {
            let count = 1 + round * tries.others / tries.rounds;
            let chosen = neighbours(instance, &bins, over, count, target, &mut random);
            if resolve(&Context { instance, target, class_of: &class_of, nodes: tries.nodes }, &mut bins, chosen, &mut idle) {
                done = true;
                break;
            }
        }
        if !done {
            return None;
        }
    }
    Some(Packing::new(instance, bins))
}

struct Context<'a> {
    instance: &'a Instance<'a>,
    target: &'a Target<'a>,
    class_of: &'a [usize],
    nodes: usize,
}

/// Packs the chosen bins anew within the target, with the idle GPUs if need be.
fn resolve(context: &Context<'_>, bins: &mut Vec<Bin>, mut chosen: Vec<usize>, idle: &mut Vec<u32>) -> bool {
    let kinds = context.instance.kinds();
    let mut counts = vec![0; context.target.classes.len()];
    let mut gpus = idle.clone();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); counts.len()];
    for &b in &chosen {
        gpus[kinds[bins[b].kind].pool] += kinds[bins[b].kind].degree.0;
        for &item in &bins[b].items {
            counts[context.class_of[item]] += 1;
            members[context.class_of[item]].push(item);
        }
    }
    let question = Question { counts, gpus: gpus.clone() };
    let Answer::Yes(groups) = exact::search(context.target, &context.target.values, &question, &mut context.nodes.clone()) else {
        return false;
    };
    let kept = bins.iter().enumerate().filter(|(b, _)| !chosen.contains(b)).map(|(_, bin)| bin.kind);
    if !layout::fits_all(context.instance.cost, kept.chain(groups.iter().map(|g| g.0))) {
        return false;
    }
    for (kind, _) in &groups {
        gpus[kinds[*kind].pool] -= kinds[*kind].degree.0;
    }
    *idle = gpus;
    chosen.sort_unstable_by(|a, b| b.cmp(a));
    for b in chosen {
        bins.swap_remove(b);
    }
    bins.extend(exact::bins(context.instance, groups, &mut members));
    true
}

fn class_of(instance: &Instance<'_>) -> Vec<usize> {
    instance.classes.iter().enumerate().flat_map(|(class, &(_, count))| std::iter::repeat_n(class, count)).collect()
}

fn idle_gpus(instance: &Instance<'_>, bins: &[Bin]) -> Vec<u32> {
    let mut idle: Vec<u32> = instance.cost.pools().iter().map(|p| p.gpus).collect();
    for bin in bins {
        let kind = &instance.kinds()[bin.kind];
        idle[kind.pool] -= kind.degree.0;
    }
    idle
}

/// The slowest bin, if it takes longer than `makespan`.
fn above(instance: &Instance<'_>, bins: &[Bin], makespan: f64) -> Option<usize> {
    let time = |b: usize| instance.kinds()[bins[b].kind].time(bins[b].load).0;
    let slowest = (0..bins.len()).max_by(|&a, &b| time(a).total_cmp(&time(b)))?;
    (time(slowest) > makespan).then_some(slowest)
}

/// The bin `over` and `count` others, of its pool: half of them the emptiest, half at random.
fn neighbours(
    instance: &Instance<'_>,
    bins: &[Bin],
    over: usize,
    count: usize,
    target: &Target<'_>,
    random: &mut fastrand::Rng,
) -> Vec<usize> {
    let kinds = instance.kinds();
    let mut others: Vec<usize> = (0..bins.len()).filter(|&b| b != over).collect();
    random.shuffle(&mut others);
    let spare = |b: usize| (target.makespan - kinds[bins[b].kind].time(bins[b].load).0) * f64::from(kinds[bins[b].kind].degree.0);
    let emptiest = count.div_ceil(2).min(others.len());
    // of a random half, the emptiest; then whatever comes
    let half = others.len().div_ceil(2).max(emptiest);
    others[..half].sort_by(|&a, &b| spare(b).total_cmp(&spare(a)));
    let mut chosen = vec![over];
    chosen.extend(others[..emptiest].iter().copied());
    chosen.extend(others[half..].iter().take(count - emptiest.min(count)).copied());
    chosen
}
