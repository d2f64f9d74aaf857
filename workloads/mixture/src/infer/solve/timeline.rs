//! The counts of all categories side by side: what each merge changed in the share that each pair has of each category.

use crate::infer::{
    counts::{History, Pair},
    tokenizer::Merge,
};
use foldhash::fast::FixedState;
use std::hash::BuildHasher as _;

/// Shares of pairs before each merge, in every category.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// Categories.
    pub categories: usize,
    /// Every pair that occurs anywhere, in order.
    pub pairs: Vec<Pair>,
    /// Before the first merge: a row of shares for each pair.
    pub before: Vec<f64>,
    /// What the merges changed.
    changes: Vec<Change>,
    ends: Vec<usize>,
    /// The pair of each merge; none where it occurs in no category.
    pub merged: Vec<Option<u32>>,
    /// Pairs that are not looked at.
    pub silent: Vec<bool>,
}

/// A pair has a new share in a category.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The pair, by its place in [`Timeline::pairs`].
    pub pair: u32,
    /// The category.
    pub category: u32,
    /// Occurrences, divided by the pairs of the category before the first merge.
    pub share: f64,
}

impl Timeline {
    /// Joins the histories of all categories under the same merges. None where there are more pairs than numbers.
    pub fn new(histories: &[History], merges: &[Merge]) -> Option<Self> {
        let mut pairs: Vec<Pair> = histories.iter().flat_map(|history| &history.pairs).copied().collect();
        pairs.sort_unstable();
        pairs.dedup();
        u32::try_from(pairs.len()).ok()?;
        let place = |pair: &Pair| pairs.binary_search(pair).ok();
        let categories = histories.len();
        let mut before = vec![0.0; pairs.len() * categories];
        let mut places: Vec<Vec<usize>> = Vec::with_capacity(categories);
        for (category, history) in histories.iter().enumerate() {
            let of: Vec<usize> = history.pairs.iter().filter_map(place).collect();
            for (&place, &count) in of.iter().zip(&history.before) {
                before[place * categories + category] = share(count, history.total);
            }
            places.push(of);
        }
        let (mut changes, mut ends) = (Vec::new(), Vec::with_capacity(merges.len()));
        for step in 0..merges.len() {
            for (category, (history, places)) in histories.iter().zip(&places).enumerate() {
                changes.extend(history.changes(step).iter().filter_map(|&(pair, count)| {
                    let place = *places.get(pair as usize)?;
                    Some(Change { pair: place as u32, category: category as u32, share: share(count, history.total) })
                }));
            }
            ends.push(changes.len());
        }
        let merged = merges.iter().map(|merge| place(&Pair(merge.left, merge.right)).map(|place| place as u32)).collect();
        let silent = vec![false; pairs.len()];
        Some(Self { categories, pairs, before, changes, ends, merged, silent })
    }

    /// The same with one of `parts` parts of the pairs alone: neither what is merged nor what is compared with it is of another,
    /// so that what goes wrong with a pair touches one part only.
    pub fn part(&self, part: u64, parts: u64) -> Self {
        let mut other = self.clone();
        for (silent, pair) in other.silent.iter_mut().zip(&self.pairs) {
            *silent = FixedState::default().hash_one(pair) % parts.max(1) != part;
        }
        for merged in &mut other.merged {
            *merged = merged.filter(|pair| !other.silent[*pair as usize]);
        }
        other
    }

    /// What merge `step` changed.
    pub fn changes(&self, step: usize) -> &[Change] {
        let start = step.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.changes[start..self.ends[step]]
    }
}

fn share(count: u64, total: u64) -> f64 {
    count as f64 / total.max(1) as f64
}
