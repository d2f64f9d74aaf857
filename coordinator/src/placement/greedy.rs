//! Greedy placement: the oldest job first, each task to the node that would finish it first.
//!
//! Finishing time is what the node holds already plus the task, over the rate that it has shown; among equals the node
//! that has run tasks of the same job, then the one that holds least. A node is given a little more than it can run at
//! once, so that the next task is there when one ends, but no more than about a quarter of a second's work: what was handed out
//! cannot move to a node that comes later.

use super::{
    Candidate, Decision, Guide, Placement, Placer, Problem, Resource, Wait, Waiting, gangs,
    timing::{RESOURCES, usual_rate},
    why::why,
};
use braid_workload::NodeId;
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
};

/// Classes without room that are remembered while a decision is made.
const EXHAUSTED: usize = 64;

/// The greedy placer.
#[derive(Debug, Default)]
pub struct Greedy;

impl Placer for Greedy {
    fn place(&mut self, problem: &Problem) -> Decision {
        hand_out(problem, &mut Guide::default())
    }
}

/// Hands out what nodes have room for, along a plan where there is one.
pub fn hand_out(problem: &Problem, guide: &mut Guide) -> Decision {
    let mut nodes = problem.nodes.clone();
    let usual = usual_rate(&nodes);
    let mut decision = Decision::default();
    let mut kept = None;
    // What found no room anywhere: nodes only fill up, so its like finds none either.
    let mut exhausted: Vec<(&Waiting, Wait)> = vec![];
    for class in &problem.classes {
        if let Some((_, wait)) = exhausted.iter().find(|(other, _)| is_alike(class, other)) {
            decision.reasons.push((class.job, wait.clone()));
            continue;
        }
        let wait = if class.class.gang > 1 {
            let placed = gangs::place(class, &mut nodes, &mut decision.gangs);
            if placed == 0 {
                kept = kept.or_else(|| nodes.iter().any(|node| node.reserved).then_some((class.job, class.class.gang)));
            }
            (placed == 0).then(|| why(class, problem, &nodes, kept))
        } else {
            let held_back = guide.holds_back(class, &nodes).map(|node| meant_for(class, node, usual));
            let placed = place_class(class, &mut nodes, usual, guide, &mut decision.placements);
            let room = |node: &Candidate| !node.reserved && node.fits(class) && node.room(&class.class, class.seconds) > 0;
            let wait = || match held_back {
                Some(wait) if nodes.iter().any(room) => wait,
                _ => {
                    let wait = why(class, problem, &nodes, kept);
                    if exhausted.len() < EXHAUSTED && !nodes.iter().any(room) {
                        exhausted.push((class, wait.clone()));
                    }
                    wait
                }
            };
            (placed == 0).then(wait)
        };
        decision.reasons.extend(wait.map(|wait| (class.job, wait)));
    }
    decision
}

/// Whether two classes of tasks that are in no gang find room at the same places.
fn is_alike(class: &Waiting, other: &Waiting) -> bool {
    class.seconds == other.seconds && class.kind == other.kind && class.class == other.class
}

/// Why tasks wait that are meant for a node: what they would keep busy longest there.
fn meant_for(class: &Waiting, node: &Candidate, usual: f64) -> Wait {
    let busy = node.busy_for(class, usual);
    let longest = (0..busy.len()).max_by(|a, b| busy[*a].total_cmp(&busy[*b]).then(b.cmp(a)));
    Wait::Planned { node: node.node.clone(), bottleneck: longest.map_or(Resource::Threads, |at| RESOURCES[at]) }
}

fn place_class(class: &Waiting, nodes: &mut [Candidate], usual: f64, guide: &mut Guide, placements: &mut Vec<Placement>) -> u32 {
    let mut meant = match guide.holds_back(class, nodes) {
        Some(_) => guide.targets(class).cloned(),
        None => None,
    };
    // A node for which they are not meant takes them if the plan would not be done later for it.
    let takes = |node: &Candidate, meant: &Option<BTreeMap<NodeId, u32>>| {
        let finish = || (node.load.backlog + class.bytes.max(1.0)) / node.rate_of(&class.kind, usual);
        meant.as_ref().is_none_or(|meant| meant.contains_key(&node.node) || finish() <= guide.makespan())
    };
    let mut heap: BinaryHeap<Reverse<Bid>> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| !node.reserved && node.fits(class) && node.room(&class.class, class.seconds) > 0)
        .filter(|(_, node)| takes(node, &meant))
        .map(|(at, node)| Reverse(Bid::new(class, node, at, usual, &meant)))
        .collect();
    let mut given: BTreeMap<NodeId, u32> = BTreeMap::new();
    let mut placed = 0;
    while placed < class.count {
        let Some(Reverse(bid)) = heap.pop() else { break };
        let Some(node) = nodes.get_mut(bid.at) else { break };
        node.load.add(&class.class, class.bytes);
        *given.entry(node.node.clone()).or_default() += 1;
        placed += 1;
        if let Some(left) = meant.as_mut().and_then(|meant| meant.get_mut(&node.node)) {
            *left = left.saturating_sub(1);
        }
        if node.room(&class.class, class.seconds) > 0 && takes(node, &meant) {
            heap.push(Reverse(Bid::new(class, node, bid.at, usual, &meant)));
        }
    }
    given.iter().for_each(|(node, count)| guide.given(class, node, *count));
    let placement = |(node, count)| Placement { job: class.job, class: class.class.clone(), node, count };
    placements.extend(given.into_iter().map(placement));
    placed
}

/// A node's offer for the next task of a class; the least wins.
struct Bid {
    stray: bool,
    finish: f64,
    cold: bool,
    held: u32,
    at: usize,
}

impl Bid {
    fn new(class: &Waiting, node: &Candidate, at: usize, usual: f64, meant: &Option<BTreeMap<NodeId, u32>>) -> Self {
        let rate = node.rate_of(&class.kind, usual);
        Self {
            stray: meant.as_ref().is_some_and(|meant| meant.get(&node.node).is_none_or(|left| *left == 0)),
            finish: (node.load.backlog + class.bytes.max(1.0)) / rate,
            cold: !class.warm.contains(&node.node) && node.at_hand(class) == 0,
            held: node.load.wide.saturating_add(node.load.narrow),
            at,
        }
    }
}

impl Ord for Bid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.stray
            .cmp(&other.stray)
            .then(self.finish.total_cmp(&other.finish))
            .then(self.cold.cmp(&other.cold))
            .then(self.held.cmp(&other.held))
            .then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Bid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bid {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bid {}

#[cfg(test)]
mod tests {
    use super::{
        super::load::{Load, MOST},
        *,
    };
    use crate::model::{Class, Inventory};
    use braid_workload::JobId;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn node(name: &str, rate: Option<f64>) -> Candidate {
        Candidate {
            node: NodeId(name.into()),
            offer: Arc::new(Inventory {
                threads: 2,
                memory: 100,
                kinds: ["merge".to_owned()].into(),
                exchange: "here".into(),
                ..Inventory::default()
            }),
            load: Load::default(),
            rate,
            ..Candidate::default()
        }
    }

    fn class(count: u32, wide: bool) -> Waiting {
        Waiting {
            job: JobId(1),
            class: Class { wide, memory: 10, ..Class::default() },
            kind: "merge".into(),
            count,
            bytes: 100.0,
            seconds: None,
            warm: Default::default(),
        }
    }

    fn counts(decision: &Decision) -> Vec<(&str, u32)> {
        decision.placements.iter().map(|placement| (placement.node.0.as_str(), placement.count)).collect()
    }

    fn place(classes: Vec<Waiting>, nodes: Vec<Candidate>) -> Decision {
        Greedy.place(&Problem { classes, nodes, absent: vec![] })
    }

    #[test]
    fn a_faster_node_gets_the_task() {
        let decision = place(vec![class(1, true)], vec![node("slow", Some(10.0)), node("fast", Some(50.0))]);
        assert_eq!(counts(&decision), [("fast", 1)]);
    }

    #[test]
    fn among_equals_the_warm_node_gets_it() {
        let mut warm = class(1, true);
        Arc::make_mut(&mut warm.warm).insert(NodeId("b".into()));
        assert_eq!(counts(&place(vec![warm], vec![node("a", None), node("b", None)])), [("b", 1)]);
    }

    #[test]
    fn wide_tasks_run_one_at_a_time_with_the_next_at_hand() {
        let decision = place(vec![class(10, true)], vec![node("a", None), node("b", None)]);
        assert_eq!(counts(&decision), [("a", 2), ("b", 2)]);
    }

    #[test]
    fn short_tasks_are_handed_out_ahead_and_long_ones_are_not() {
        let mut short = class(10_000, false);
        short.seconds = Some(0.001);
        assert_eq!(counts(&place(vec![short], vec![node("a", None)])), [("a", 502)]);
        let mut long = class(10_000, false);
        long.seconds = Some(60.0);
        assert_eq!(counts(&place(vec![long], vec![node("a", None)])), [("a", 3)]);
    }

    #[test]
    fn tasks_of_unknown_length_are_shared_out() {
        let mut unknown = class(4, false);
        unknown.bytes = 0.0;
        Arc::make_mut(&mut unknown.warm).insert(NodeId("a".into()));
        assert_eq!(counts(&place(vec![unknown], vec![node("a", None), node("b", None)])), [("a", 2), ("b", 2)]);
    }

    #[test]
    fn a_node_that_names_more_threads_than_there_are_gets_no_more_than_any_may() {
        let mut huge = node("a", Some(f64::MAX));
        let offer = Arc::make_mut(&mut huge.offer);
        (offer.threads, offer.memory) = (u32::MAX, u64::MAX);
        assert_eq!(counts(&place(vec![class(u32::MAX, false)], vec![huge])), [("a", MOST)]);
    }

    #[test]
    fn each_wait_has_a_reason() {
        let text = |classes, nodes| place(classes, nodes).reasons.remove(0).1.to_string();
        assert_eq!(text(vec![class(1, true)], vec![]), "no worker is connected");
        let mut other = node("a", None);
        Arc::make_mut(&mut other.offer).kinds = ["noop".to_owned()].into();
        assert_eq!(text(vec![class(1, true)], vec![other]), "none of the 1 workers can run `merge` jobs");
        let mut large = class(1, true);
        large.class.memory = 3 << 30;
        assert_eq!(text(vec![large], vec![node("a", None)]), "no worker may hold 3.0 GiB (the largest may hold 100 B)");
        let mut busy = node("a", None);
        busy.load.wide = 5;
        assert_eq!(text(vec![class(1, true)], vec![busy.clone()]), "the only worker that could run it is busy");
        assert_eq!(text(vec![class(1, true)], vec![busy.clone(), busy]), "all 2 workers that could run it are busy");
    }

    proptest! {
        /// No class is over-placed, no node gets what it cannot run or more than it has room for, and nothing waits
        /// while a node that could run it has room.
        #[test]
        fn placements_are_sound_and_leave_no_room_unused(
            counts in proptest::collection::vec((0u32..40, any::<bool>(), 0u64..200), 1..5),
            nodes in proptest::collection::vec((0u32..4, 0u32..4, proptest::option::of(1.0f64..1e3)), 0..5),
        ) {
            let classes: Vec<Waiting> = counts.iter().enumerate().map(|(job, (count, wide, memory))| {
                let mut waiting = class(*count, *wide);
                waiting.job = JobId(job as u64);
                waiting.class.memory = *memory;
                waiting
            }).collect();
            let nodes: Vec<Candidate> = nodes.iter().enumerate().map(|(name, (wide, narrow, rate))| {
                Candidate {
                    load: Load { wide: *wide, narrow: *narrow, threads: *narrow, ..Load::default() },
                    ..node(&format!("n{name}"), *rate)
                }
            }).collect();
            let decision = place(classes.clone(), nodes.clone());
            let mut after = nodes;
            for placement in &decision.placements {
                let class = classes.iter().find(|class| class.job == placement.job).unwrap();
                let node = after.iter_mut().find(|node| node.node == placement.node).unwrap();
                prop_assert!(node.fits(class));
                for _ in 0..placement.count {
                    prop_assert!(node.room(&class.class, class.seconds) > 0);
                    node.load.add(&class.class, class.bytes);
                }
            }
            for class in &classes {
                let placed: u32 = decision.placements.iter().filter(|placement| placement.job == class.job).map(|placement| placement.count).sum();
                prop_assert!(placed <= class.count);
                let room_left = after.iter().any(|node| node.fits(class) && node.room(&class.class, class.seconds) > 0);
                prop_assert!(placed == class.count || !room_left);
            }
        }
    }
}
