//! Exact search: can these sequences be done within a makespan by so many GPUs?
//!
//! Bin completion (Korf 2003; Fukunaga and Korf 2007): take the longest sequence left, try every group that could hold it
//! with as much company as fits, least waste first. Values that no group exceeds bound the waste: all GPUs left, minus all
//! values left, is what may still be wasted, and a group that wastes more is cut off.

use super::{Bin, Packing};
use crate::planner::{Load, instance::Instance, knapsack::Knapsack, layout, target::Target};
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

/// What a search found out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Groups that do it: the kind of each, and its classes.
    Yes(Vec<(usize, Vec<usize>)>),
    /// There are none.
    No,
    /// The work allowed was used up.
    Unknown,
}

/// What is to be packed: how many of each class of the target, on how many GPUs of each pool.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) counts: Vec<u32>,
    pub(crate) gpus: Vec<u32>,
}

/// Sets kept for one sequence; with more than these the search is no longer exact.
const MOST_SETS: usize = 400;

/// States remembered.
const MOST_FAILED: usize = 1 << 16;

/// Answers the question for the target's makespan, with `values` that no group exceeds; takes the sets that it looks at from `nodes`.
pub(crate) fn search(target: &Target<'_>, values: &[f64], question: &Question, nodes: &mut usize) -> Answer {
    let classes: Vec<Load> = target.classes.iter().map(|c| c.0).collect();
    let kinds = target.cost.kinds();
    let mut knapsacks: Vec<Knapsack> = target
        .open_kinds()
        .filter(|&k| kinds[k].degree.0 <= question.gpus[kinds[k].pool])
        .map(|k| Knapsack::new(k, &kinds[k], target.makespan, target.share(k), &classes, values))
        .collect();
    knapsacks.reverse();
    let mut search = Search {
        target,
        values,
        knapsacks,
        counts: question.counts.clone(),
        gpus: question.gpus.clone(),
        left: 0,
        marks: (0..question.counts.len()).map(|class| mark(class, false)).collect(),
        nodes,
        exact: true,
        chosen: Vec::new(),
        failed: HashSet::default(),
    };
    let found = search.complete(0);
    match (found, search.exact) {
        (true, _) => Answer::Yes(search.chosen),
        (false, true) => Answer::No,
        (false, false) => Answer::Unknown,
    }
}

struct Search<'a> {
    target: &'a Target<'a>,
    values: &'a [f64],
    knapsacks: Vec<Knapsack>,
    counts: Vec<u32>,
    gpus: Vec<u32>,
    /// The mark of what has been taken of `counts` and `gpus`: the sum of the marks of each.
    left: u128,
    marks: Vec<u128>,
    nodes: &'a mut usize,
    exact: bool,
    chosen: Vec<(usize, Vec<usize>)>,
    /// Marks of what is left where it is known that it cannot be done.
    failed: HashSet<u128, BuildHasherDefault<Mark>>,
}

/// The mark of one of a class taken, or of one GPU of a pool: sums of them are as good as random, so that two states share one of
/// 2^128 by chance alone.
fn mark(index: usize, pool: bool) -> u128 {
    let mix = |mut x: u64| {
        // SplitMix64 (Steele, Lea and Flood 2014)
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    let seed = 2 * index as u64 + u64::from(pool) + 1;
    let half = |salt: u64| u128::from(mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt)));
    half(0) << 64 | half(0x5851_f42d_4c95_7f2d)
}

/// A mark is its own hash.
#[derive(Debug, Clone, Copy, Default)]
struct Mark(u64);

impl Hasher for Mark {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.0 = self.0.rotate_left(8) ^ u64::from(b));
    }

    fn write_u128(&mut self, mark: u128) {
        self.0 = mark as u64 ^ (mark >> 64) as u64;
    }
}

impl Search<'_> {
    /// Places all that is left; every class before `from` is done.
    fn complete(&mut self, from: usize) -> bool {
        let Some(longest) = (from..self.counts.len()).find(|&c| self.counts[c] > 0) else { return self.laid_out() };
        let state = self.left;
        if self.failed.contains(&state) {
            return false;
        }
        let waste = self.waste();
        if waste < -1e-9 * self.target.gpus() {
            return false;
        }
        for (kind, set) in self.sets(longest, waste) {
            if *self.nodes == 0 {
                self.exact = false;
                return false;
            }
            let k = &self.target.cost.kinds()[kind];
            let gpus = mark(k.pool, true).wrapping_mul(u128::from(k.degree.0));
            self.left = set.iter().fold(state.wrapping_add(gpus), |sum, &c| sum.wrapping_add(self.marks[c]));
            set.iter().for_each(|&c| self.counts[c] -= 1);
            self.gpus[k.pool] -= k.degree.0;
            self.chosen.push((kind, set));
            if self.complete(longest) {
                return true;
            }
            self.left = state;
            let Some((_, set)) = self.chosen.pop() else { return false };
            self.gpus[k.pool] += k.degree.0;
            set.iter().for_each(|&c| self.counts[c] += 1);
        }
        if self.failed.len() < MOST_FAILED {
            self.failed.insert(state);
        }
        false
    }

    /// The value of all GPUs left that no sequence left accounts for.
    fn waste(&self) -> f64 {
        let gpus: f64 = self.gpus.iter().enumerate().map(|(pool, &n)| f64::from(n) * self.target.pool_price(pool)).sum();
        gpus - self.counts.iter().zip(self.values).map(|(&n, v)| f64::from(n) * v).sum::<f64>()
    }

    /// The groups with the class `longest` in them that waste no more than `waste`, least waste first.
    fn sets(&mut self, longest: usize, waste: f64) -> Vec<(usize, Vec<usize>)> {
        let mut sets: Vec<(f64, usize, Vec<usize>)> = Vec::new();
        for knapsack in &self.knapsacks {
            let k = &self.target.cost.kinds()[knapsack.kind];
            if k.degree.0 > self.gpus[k.pool] || !knapsack.admits(longest) {
                continue;
            }
            let price = self.target.price(knapsack.kind);
            let least = price - waste - 1e-9 * self.target.gpus();
            let mut of_kind = 0;
            let all = knapsack.visit(&self.counts, Some(longest), least, true, self.nodes, &mut |set, value| {
                of_kind += 1;
                sets.push((price - value, knapsack.kind, set.to_vec()));
                if of_kind >= MOST_SETS { f64::INFINITY } else { least }
            });
            self.exact &= all && of_kind < MOST_SETS;
        }
        sets.sort_by(|a, b| a.0.total_cmp(&b.0));
        sets.into_iter().map(|(_, kind, set)| (kind, set)).collect()
    }

    fn laid_out(&mut self) -> bool {
        let fits = layout::fits_all(self.target.cost, self.chosen.iter().map(|c| c.0));
        // Other groups of as many GPUs may fit, and that they were tried is not remembered.
        self.exact &= fits;
        fits
    }
}

/// Turns groups of classes into bins of sequences; `members` lists the sequences of each class.
pub(crate) fn bins(instance: &Instance<'_>, groups: Vec<(usize, Vec<usize>)>, members: &mut [Vec<usize>]) -> Vec<Bin> {
    let bin = |(kind, classes): (usize, Vec<usize>)| {
        let mut items: Vec<usize> = classes.iter().filter_map(|&c| members[c].pop()).collect();
        items.sort_unstable();
        let load = items.iter().fold(Load::default(), |sum, &i| sum.plus(instance.items[i]));
        Bin { kind, load, items }
    };
    groups.into_iter().map(bin).collect()
}

/// All sequences of the instance in these groups.
pub(crate) fn packing(instance: &Instance<'_>, groups: Vec<(usize, Vec<usize>)>) -> Packing {
    let mut next = 0;
    let mut members: Vec<Vec<usize>> = Vec::with_capacity(instance.classes.len());
    for &(_, count) in &instance.classes {
        members.push((next..next + count).rev().collect());
        next += count;
    }
    let bins = bins(instance, groups, &mut members);
    Packing::new(instance, bins)
}
