//! Gradient-boosted regression trees on proportions, with the constants that RegMix gives to LightGBM: a thousand trees at a rate of
//! 0.01, each of at most 31 leaves of at least 20 runs, grown where a split gains most. Exact splits: swarms have hundreds of runs.
//!
//! Written here because it is a hundred lines, and the crate that would fit names no licence.

use crate::Proportions;
use serde::{Deserialize, Serialize};

const TREES: usize = 1000;
const RATE: f64 = 0.01;
const LEAVES: usize = 31;
const LEAST: usize = 20;

/// A mean and trees that correct it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    mean: f64,
    trees: Vec<Vec<Node>>,
}

/// A node of a tree; the first is its root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Node {
    Leaf(f64),
    Split { domain: usize, at: f64, below: usize, above: usize },
}

/// A leaf that may still be split.
struct Open {
    node: usize,
    runs: Vec<usize>,
    best: Option<Best>,
}

#[derive(Clone, Copy)]
struct Best {
    gain: f64,
    domain: usize,
    at: f64,
}

impl Trees {
    /// Fits values. With fewer than twice as many runs as a leaf must have, the mean is all there is.
    pub(super) fn fit(mixtures: &[Proportions], values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let mut left: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let mut trees = vec![];
        for _ in 0..TREES {
            let tree = grow(mixtures, &left);
            if tree.len() < 2 {
                break;
            }
            left.iter_mut().zip(mixtures).for_each(|(left, mixture)| *left -= leaf(&tree, mixture));
            trees.push(tree);
        }
        Self { mean, trees }
    }

    /// The metric that a mixture would have.
    pub fn predict(&self, mixture: &Proportions) -> f64 {
        self.mean + self.trees.iter().map(|tree| leaf(tree, mixture)).sum::<f64>()
    }
}

/// The value of the leaf that a mixture falls into. A tree that was stored may be damaged: then its part is zero.
fn leaf(tree: &[Node], mixture: &Proportions) -> f64 {
    let mut at = 0;
    for _ in 0..tree.len() {
        match tree.get(at) {
            Some(Node::Leaf(value)) => return *value,
            Some(Node::Split { domain, at: limit, below, above }) => {
                let share = mixture.as_slice().get(*domain).copied().unwrap_or(0.0);
                at = if share <= *limit { *below } else { *above };
            }
            None => return 0.0,
        }
    }
    0.0
}

fn grow(mixtures: &[Proportions], left: &[f64]) -> Vec<Node> {
    let mean = |runs: &[usize]| RATE * runs.iter().map(|&run| left[run]).sum::<f64>() / runs.len() as f64;
    let open = |node: usize, runs: Vec<usize>| Open { node, best: best_split(mixtures, left, &runs), runs };
    let all: Vec<usize> = (0..left.len()).collect();
    let mut tree = vec![Node::Leaf(mean(&all))];
    let mut leaves = vec![open(0, all)];
    for _ in 1..LEAVES {
        let gain = |leaf: &Open| leaf.best.map_or(0.0, |best| best.gain);
        let Some(index) = (0..leaves.len()).max_by(|&a, &b| gain(&leaves[a]).total_cmp(&gain(&leaves[b]))) else { break };
        let Some(best) = leaves[index].best else { break };
        let parent = leaves.swap_remove(index);
        let (below, above): (Vec<usize>, Vec<usize>) =
            parent.runs.iter().partition(|&&run| mixtures[run][best.domain] <= best.at);
        let first = tree.len();
        tree[parent.node] = Node::Split { domain: best.domain, at: best.at, below: first, above: first + 1 };
        tree.push(Node::Leaf(mean(&below)));
        tree.push(Node::Leaf(mean(&above)));
        leaves.push(open(first, below));
        leaves.push(open(first + 1, above));
    }
    tree
}

/// The split that lowers the sum of squares most; none where nothing does.
fn best_split(mixtures: &[Proportions], left: &[f64], runs: &[usize]) -> Option<Best> {
    if runs.len() < 2 * LEAST {
        return None;
    }
    let domains = mixtures.first().map_or(0, Proportions::len);
    let of_domain = |domain| best_of_domain(domain, mixtures, left, runs);
    // The first of the best.
    (0..domains).rev().filter_map(of_domain).max_by(|a, b| a.gain.total_cmp(&b.gain))
}

/// The best split by one domain's share.
fn best_of_domain(domain: usize, mixtures: &[Proportions], left: &[f64], runs: &[usize]) -> Option<Best> {
    let sum: f64 = runs.iter().map(|&run| left[run]).sum();
    let base = sum * sum / runs.len() as f64;
    let mut sorted: Vec<(f64, f64)> = runs.iter().map(|&run| (mixtures[run][domain], left[run])).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut best, mut below): (Option<Best>, f64) = (None, 0.0);
    for (index, pair) in sorted.windows(2).enumerate() {
        let &[(share, value), (next, _)] = pair else { continue };
        below += value;
        let count = index + 1;
        if share == next || count < LEAST || runs.len() - count < LEAST {
            continue;
        }
        let above = sum - below;
        let gain = below * below / count as f64 + above * above / (runs.len() - count) as f64 - base;
        if gain > 1e-12 && best.is_none_or(|best| gain > best.gain) {
            best = Some(Best { gain, domain, at: f64::midpoint(share, next) });
        }
    }
    best
}
