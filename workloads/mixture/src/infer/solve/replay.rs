//! Goes through the merges under given proportions, and finds the pairs that were more frequent than the one that was merged.
//!
//! A queue holds the pairs by frequency; what a merge changes is queued again, and what is out of date is dropped when it comes
//! to the top.

use super::timeline::Timeline;
use std::{cmp::Ordering, collections::BinaryHeap};

/// A pair in the queue.
#[derive(Debug, Clone, Copy)]
struct Queued {
    frequency: f64,
    pair: u32,
}

/// A pair that was more frequent than the one that was merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ahead {
    pub(super) pair: u32,
    /// By how much, beyond the pair's slack.
    pub(super) excess: f64,
}

/// A merge under given proportions.
pub(super) struct Step<'a> {
    /// Its number.
    pub(super) step: usize,
    /// The pair that was merged.
    pub(super) merged: u32,
    /// Its share of the mixture.
    pub(super) frequency: f64,
    /// The pairs ahead of it, the furthest first; a few.
    pub(super) ahead: &'a [Ahead],
    shares: &'a [f64],
    categories: usize,
}

impl Step<'_> {
    /// The shares that a pair has of each category at this step.
    pub(super) fn shares(&self, pair: u32) -> &[f64] {
        let at = pair as usize * self.categories;
        &self.shares[at..at + self.categories]
    }
}

/// Visits those of the first `merges` that occur in some category. `slack` by pair is taken off its frequency; `most` pairs ahead
/// are told.
pub(super) fn replay(
    timeline: &Timeline,
    proportions: &[f64],
    slack: &[f64],
    (merges, most): (usize, usize),
    mut visit: impl FnMut(&Step<'_>),
) {
    let categories = timeline.categories;
    let mut shares = timeline.before.clone();
    let mix = |shares: &[f64], pair: usize| -> f64 {
        shares[pair * categories..(pair + 1) * categories].iter().zip(proportions).map(|(share, weight)| share * weight).sum()
    };
    let mut current: Vec<f64> = (0..timeline.pairs.len()).map(|pair| mix(&shares, pair)).collect();
    let queued = |(pair, frequency): (usize, &f64)| Queued { frequency: frequency - slack[pair], pair: pair as u32 };
    let mut queue: BinaryHeap<Queued> = current.iter().enumerate().map(queued).filter(|queued| queued.frequency > 0.0).collect();
    let (mut ahead, mut back, mut done) = (Vec::new(), Vec::new(), timeline.silent.clone());
    for (step, merged) in timeline.merged.iter().enumerate().take(merges) {
        if let Some(merged) = *merged {
            let frequency = current[merged as usize];
            done[merged as usize] = true;
            ahead.clear();
            while let Some(top) = queue.pop() {
                let pair = top.pair as usize;
                let stale = done[pair] || top.frequency != current[pair] - slack[pair];
                // A pair whose frequency went and came back is queued twice.
                let again = back.last().is_some_and(|last: &Queued| last.pair == top.pair);
                if stale || again {
                    continue;
                }
                back.push(top);
                if top.frequency <= frequency || ahead.len() == most {
                    break;
                }
                ahead.push(Ahead { pair: top.pair, excess: top.frequency - frequency });
            }
            queue.extend(back.drain(..));
            visit(&Step { step, merged, frequency, ahead: &ahead, shares: &shares, categories });
        }
        for change in timeline.changes(step) {
            shares[change.pair as usize * categories + change.category as usize] = change.share;
        }
        for change in timeline.changes(step) {
            let pair = change.pair as usize;
            let now = mix(&shares, pair);
            if now != current[pair] {
                current[pair] = now;
                if now > slack[pair] && !done[pair] {
                    queue.push(Queued { frequency: now - slack[pair], pair: change.pair });
                }
            }
        }
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.frequency.total_cmp(&other.frequency).then_with(|| other.pair.cmp(&self.pair))
    }
}
