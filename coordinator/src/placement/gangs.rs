//! Gangs: so many nodes' worth of room at one moment, or nothing.
//!
//! Members are packed onto few nodes, the emptiest first: what they exchange stays inside a machine. A gang that would fit if
//! nodes were idle, and does not fit now, keeps the nodes it would take from jobs that came later: else a stream of small
//! tasks would let it wait for ever.

use super::{Candidate, GangPlacement, Waiting};
use braid_workload::NodeId;

/// Places as many gangs of a class as there is room for, and says how many.
pub(super) fn place(class: &Waiting, nodes: &mut [Candidate], gangs: &mut Vec<GangPlacement>) -> u32 {
    let mut placed = 0;
    while placed < class.count {
        let Some(places) = choose(class, nodes, |class, node| node.free(&class.class)) else { break };
        for at in &places {
            nodes[*at].load.add(&class.class, class.bytes);
        }
        let nodes: Vec<NodeId> = places.iter().map(|at| nodes[*at].node.clone()).collect();
        gangs.push(GangPlacement { job: class.job, class: class.class.clone(), nodes });
        placed += 1;
    }
    if placed < class.count
        && let Some(places) = choose(class, nodes, |class, node| node.capacity(&class.class))
    {
        for at in places {
            nodes[at].reserved = true;
        }
    }
    placed
}

/// The node of each member, by rank, counting the room of a node by `room`.
fn choose(class: &Waiting, nodes: &[Candidate], room: impl Fn(&Waiting, &Candidate) -> u32) -> Option<Vec<usize>> {
    let mut order: Vec<(usize, u32)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| !node.reserved && node.fits(class))
        .map(|(at, node)| (at, room(class, node)))
        .collect();
    order.sort_by_key(|&(at, room)| (std::cmp::Reverse(room), !class.warm.contains(&nodes[at].node), at));
    let size = class.class.gang as usize;
    let places: Vec<usize> = order.into_iter().flat_map(|(at, room)| std::iter::repeat_n(at, room as usize)).take(size).collect();
    (places.len() == size).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Load, Problem, why::why},
        *,
    };
    use crate::model::{Class, Inventory};
    use braid_workload::JobId;
    use std::sync::Arc;

    fn node(name: &str, threads: u32, narrow: u32) -> Candidate {
        Candidate {
            node: NodeId(name.into()),
            offer: Arc::new(Inventory {
                threads,
                memory: 100,
                kinds: ["train".to_owned()].into(),
                exchange: "here".into(),
                ..Inventory::default()
            }),
            load: Load { narrow, threads: narrow, ..Load::default() },
            ..Candidate::default()
        }
    }

    fn class(gang: u32, count: u32, wide: bool) -> Waiting {
        Waiting {
            job: JobId(1),
            class: Class { wide, memory: 10, gang, ..Class::default() },
            kind: "train".into(),
            count,
            bytes: 1.0,
            seconds: None,
            warm: Default::default(),
        }
    }

    fn placed(class: &Waiting, mut nodes: Vec<Candidate>) -> (Result<(), String>, Vec<Vec<String>>, Vec<String>) {
        let mut gangs = vec![];
        let placed = place(class, &mut nodes, &mut gangs);
        let reason = || why(class, &Problem::default(), &nodes, None).to_string();
        let result = if placed > 0 { Ok(()) } else { Err(reason()) };
        let names = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
        let reserved = nodes.into_iter().filter(|node| node.reserved).map(|node| node.node.0).collect();
        (result, gangs.into_iter().map(|gang| names(gang.nodes)).collect(), reserved)
    }

    #[test]
    fn members_are_packed_onto_few_nodes() {
        let (result, gangs, _) = placed(&class(4, 1, false), vec![node("a", 2, 0), node("b", 3, 0), node("c", 2, 1)]);
        assert_eq!((result, gangs), (Ok(()), vec![vec!["b".to_owned(), "b".into(), "b".into(), "a".into()]]));
    }

    #[test]
    fn a_gang_that_does_not_fit_whole_starts_nowhere_and_keeps_its_nodes() {
        let (result, gangs, reserved) = placed(&class(4, 1, false), vec![node("a", 2, 1), node("b", 2, 0), node("c", 1, 1)]);
        assert_eq!(result.unwrap_err(), "a gang of 4 needs 4 threads with 10 B each at once, and 3 of 5 are free");
        assert!(gangs.is_empty());
        assert_eq!(reserved, ["a", "b"]);
    }

    #[test]
    fn a_gang_larger_than_the_fleet_says_so_and_keeps_nothing() {
        let (result, _, reserved) = placed(&class(3, 1, true), vec![node("a", 8, 0), node("b", 8, 0)]);
        assert_eq!(result.unwrap_err(), "a gang of 3 needs 3 workers with 10 B each at once, and the 2 workers have 2");
        assert!(reserved.is_empty());
    }

    #[test]
    fn as_many_gangs_start_as_there_is_room_for() {
        let (result, gangs, reserved) = placed(&class(2, 3, false), vec![node("a", 4, 0), node("b", 1, 0)]);
        assert_eq!((result, gangs.len()), (Ok(()), 2));
        assert_eq!(reserved, ["a"]);
    }
}
