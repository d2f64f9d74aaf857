//! The heaviest matching of steps and pairs, and the least slack that covers it.
//!
//! Under given proportions a row says `v_t + v_p ≥ w`, where w is by how much pair p is ahead at step t. The least sum of such
//! slacks is the weight of the heaviest matching of steps and pairs (the linear program's dual, whose corners are matchings:
//! Egerváry, 1931). So no linear program is needed to find either: each step in turn looks for the cheapest alternating path
//! (Kuhn, 1955; with Dijkstra's algorithm, Edmonds and Karp, 1972) to a pair that is free, or to a step that is as well off
//! without one.

use std::{cmp::Ordering, collections::BinaryHeap};

/// What each step may be matched with: steps and pairs by number, edges step by step.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    /// Where the edges of each step end.
    ends: Vec<usize>,
    /// The pair of each edge.
    pairs: Vec<u32>,
    /// How many pairs there are.
    count: usize,
}

/// The heaviest matching, and slack that proves it: the two sums are the same, but for rounding.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    /// The edge of each step that has one.
    pub(super) edges: Vec<Option<usize>>,
    /// By step.
    pub(super) step_slack: Vec<f64>,
    /// By pair.
    pub(super) pair_slack: Vec<f64>,
}

/// A pair that can be reached.
#[derive(Debug, Clone, Copy)]
struct Reached {
    distance: f64,
    pair: u32,
    edge: usize,
}

impl Graph {
    /// Of edges (step, pair) that are sorted by step; both are numbered from 0 without gaps.
    pub(super) fn new(edges: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut graph = Self::default();
        for (step, pair) in edges {
            graph.ends.resize(step as usize + 1, graph.pairs.len());
            graph.pairs.push(pair);
            graph.count = graph.count.max(pair as usize + 1);
            if let Some(end) = graph.ends.last_mut() {
                *end += 1;
            }
        }
        graph
    }

    fn edges(&self, step: usize) -> std::ops::Range<usize> {
        step.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[step]
    }

    /// The heaviest matching under weights, one an edge. What weighs nothing or less is never taken.
    pub(super) fn heaviest(&self, weights: &[f64]) -> Matching {
        let steps = self.ends.len();
        let heaviest = |step| self.edges(step).map(|edge| weights[edge]).fold(0.0, f64::max);
        let mut search = Search {
            graph: self,
            weights,
            found: Matching {
                edges: vec![None; steps],
                step_slack: (0..steps).map(heaviest).collect(),
                pair_slack: vec![0.0; self.count],
            },
            owner: vec![NONE; self.count],
            distance: vec![f64::INFINITY; self.count],
            via: vec![0; self.count],
            from: vec![NONE; steps],
            queue: BinaryHeap::new(),
        };
        (0..steps as u32).for_each(|step| search.place(step));
        search.found
    }
}

const NONE: u32 = u32::MAX;

struct Search<'a> {
    graph: &'a Graph,
    weights: &'a [f64],
    found: Matching,
    /// The step of each pair.
    owner: Vec<u32>,
    /// From the step that is placed, by pair; infinite where it was not reached.
    distance: Vec<f64>,
    /// The edge over which a pair is reached.
    via: Vec<usize>,
    /// The step before, on the path to a step.
    from: Vec<u32>,
    queue: BinaryHeap<Reached>,
}

impl Search<'_> {
    /// Finds a pair for a step, moving others to other pairs or to none.
    fn place(&mut self, root: u32) {
        let (mut settled, mut reached) = (vec![], vec![]);
        self.queue.clear();
        // The nearest step that gives its pair up for nothing, and how far it is; at first the root itself.
        let (mut last, mut bound) = (root, self.found.step_slack[root as usize]);
        let mut steps = vec![(root, 0.0)];
        let mut free = NONE;
        self.from[root as usize] = NONE;
        self.look(root, 0.0, bound, &mut reached);
        while let Some(Reached { distance, pair, edge }) = self.queue.pop() {
            if distance >= bound {
                break;
            }
            if distance > self.distance[pair as usize] || self.via[pair as usize] != edge {
                continue;
            }
            settled.push((pair, distance));
            let owner = self.owner[pair as usize];
            if owner == NONE {
                (free, bound) = (pair, distance);
                break;
            }
            self.from[owner as usize] = pair;
            steps.push((owner, distance));
            let gives_up = distance + self.found.step_slack[owner as usize];
            if gives_up < bound {
                (last, bound) = (owner, gives_up);
            }
            self.look(owner, distance, bound, &mut reached);
        }
        for (step, distance) in steps {
            let slack = &mut self.found.step_slack[step as usize];
            *slack = (*slack - (bound - distance)).max(0.0);
        }
        for (pair, distance) in settled {
            self.found.pair_slack[pair as usize] += (bound - distance).max(0.0);
        }
        self.turn(free, last);
        for pair in reached {
            self.distance[pair as usize] = f64::INFINITY;
        }
    }

    /// Looks at the pairs of a step that is so far away.
    fn look(&mut self, step: u32, distance: f64, bound: f64, reached: &mut Vec<u32>) {
        let slack = self.found.step_slack[step as usize];
        for edge in self.graph.edges(step as usize) {
            let pair = self.graph.pairs[edge];
            let at = pair as usize;
            let there = distance + (slack + self.found.pair_slack[at] - self.weights[edge]).max(0.0);
            if self.weights[edge] > 0.0 && there < bound && there < self.distance[at] && self.owner[at] != step {
                if self.distance[at] == f64::INFINITY {
                    reached.push(pair);
                }
                self.distance[at] = there;
                self.via[at] = edge;
                self.queue.push(Reached { distance: there, pair, edge });
            }
        }
    }

    /// Turns the path around that ends in a free pair, or in a step that gives its own up.
    fn turn(&mut self, free: u32, last: u32) {
        let mut pair = free;
        if free == NONE {
            self.found.edges[last as usize] = None;
            pair = self.from[last as usize];
        }
        while pair != NONE {
            let edge = self.via[pair as usize];
            let step = self.graph.ends.partition_point(|end| *end <= edge);
            self.found.edges[step] = Some(edge);
            self.owner[pair as usize] = step as u32;
            pair = self.from[step];
        }
    }
}

impl PartialEq for Reached {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Reached {}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The nearest is the greatest.
impl Ord for Reached {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then_with(|| other.edge.cmp(&self.edge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The heaviest matching by trying all.
    fn tried(edges: &[(u32, u32, f64)], step: u32, taken: u32) -> f64 {
        if edges.iter().all(|edge| edge.0 < step) {
            return 0.0;
        }
        let without = tried(edges, step + 1, taken);
        let with = edges.iter().filter(|(own, pair, weight)| *own == step && taken & (1 << pair) == 0 && *weight > 0.0);
        with.map(|(_, pair, weight)| weight + tried(edges, step + 1, taken | 1 << pair)).fold(without, f64::max)
    }

    proptest! {
        #[test]
        fn it_is_the_heaviest_and_the_slack_proves_it(
            rows in prop::collection::vec(prop::collection::vec((0..7u32, -20..60i32), 0..6), 1..8),
        ) {
            let mut edges: Vec<(u32, u32, f64)> = vec![];
            for (step, row) in (0..).zip(&rows) {
                edges.extend(row.iter().map(|(pair, weight)| (step, *pair, f64::from(*weight) / 7.0)));
            }
            edges.push((rows.len() as u32, 6, 1.0));
            edges.dedup_by_key(|edge| (edge.0, edge.1));
            let graph = Graph::new(edges.iter().map(|edge| (edge.0, edge.1)));
            let weights: Vec<f64> = edges.iter().map(|edge| edge.2).collect();
            let Matching { edges: matched, step_slack, pair_slack } = graph.heaviest(&weights);
            let weight: f64 = matched.iter().flatten().map(|edge| weights[*edge]).sum();
            let slack: f64 = step_slack.iter().chain(&pair_slack).sum();
            prop_assert!((weight - tried(&edges, 0, 0)).abs() < 1e-9, "{} instead of {}", weight, tried(&edges, 0, 0));
            prop_assert!((weight - slack).abs() < 1e-9, "weight {weight}, slack {slack}");
            prop_assert!(step_slack.iter().chain(&pair_slack).all(|slack| *slack >= 0.0));
            let mut pairs: Vec<u32> = matched.iter().flatten().map(|edge| edges[*edge].1).collect();
            pairs.sort_unstable();
            prop_assert!(pairs.windows(2).all(|two| two[0] != two[1]), "a pair is taken twice: {pairs:?}");
            for (step, edge) in matched.iter().enumerate() {
                prop_assert!(edge.is_none_or(|edge| edges[edge].0 as usize == step));
            }
            for (step, pair, weight) in &edges {
                prop_assert!(step_slack[*step as usize] + pair_slack[*pair as usize] >= weight - 1e-9);
            }
        }
    }
}
