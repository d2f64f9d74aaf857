use super::*;
use braid_workload::{AttemptId, JobId};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn key(index: u32) -> Key {
    Key { task: JobId(1).task(index), attempt: AttemptId(1) }
}

fn demand(wide: bool, memory: u64) -> Demand {
    Demand { memory, wide, ..Demand::default() }
}

fn starts(queue: &mut Queue<()>) -> Vec<(u32, u64)> {
    let mut started = Vec::new();
    while let Some(start) = [Lane::Wide, Lane::Narrow].into_iter().find_map(|lane| queue.next(lane)) {
        started.push((start.key.task.index, start.memory));
    }
    started
}

#[test]
fn lanes_run_side_by_side_each_in_order() {
    let mut queue = Queue::new(2, 1600, 0);
    for (index, wide) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        queue.push(key(index), demand(wide, 0), ());
    }
    assert_eq!(starts(&mut queue), [(0, 100), (1, 1400), (3, 100)]);
    queue.end(key(1));
    assert_eq!(starts(&mut queue), [(2, 1400)]);
    queue.end(key(0));
    assert_eq!(starts(&mut queue), [(4, 100)]);
}

#[test]
fn nothing_that_came_later_overtakes_one_that_waits_for_memory() {
    let mut queue = Queue::new(2, 1600, 0);
    queue.push(key(0), demand(true, 0), ());
    queue.push(key(1), demand(false, 900), ());
    queue.push(key(2), demand(true, 0), ());
    assert_eq!(starts(&mut queue), [(0, 1400)]);
    queue.end(key(0));
    assert_eq!(queue.next(Lane::Wide), None, "task 2 would take the memory that task 1 waited for");
    assert_eq!(starts(&mut queue), [(1, 900), (2, 600)]);
}

#[test]
fn a_demand_beyond_the_budget_runs_alone_with_all_of_it() {
    let mut queue = Queue::new(2, 1600, 0);
    queue.push(key(0), demand(false, 0), ());
    queue.push(key(1), demand(false, 5000), ());
    assert_eq!(starts(&mut queue), [(0, 100)]);
    queue.end(key(0));
    assert_eq!(starts(&mut queue), [(1, 1600)]);
}

#[test]
fn an_attempt_takes_its_threads_and_gpus_and_gives_them_back() {
    let mut queue = Queue::new(4, 1600, 3);
    let demand = |threads, gpus| Demand { threads, gpus, ..Demand::default() };
    for (index, (threads, gpus)) in (0..).zip([(2, 1), (1, 2), (2, 0), (1, 1), (9, 9)]) {
        queue.push(key(index), demand(threads, gpus), ());
    }
    let next = |queue: &mut Queue<()>| queue.next(Lane::Narrow).map(|start| (start.key.task.index, start.gpus));
    let three = (next(&mut queue), next(&mut queue), next(&mut queue));
    assert_eq!(three, (Some((0, vec![0])), Some((1, vec![1, 2])), None), "one thread is free, and two are asked");
    queue.end(key(0));
    assert_eq!(queue.next(Lane::Narrow).map(|start| start.key), Some(key(2)));
    let start = queue.next(Lane::Narrow).unwrap();
    assert_eq!((start.key, start.gpus), (key(3), vec![0]));
    for index in [1, 2] {
        queue.end(key(index));
        assert_eq!(queue.next(Lane::Narrow), None, "more than there is gets all of it, alone");
    }
    queue.end(key(3));
    assert_eq!(queue.next(Lane::Narrow).unwrap().gpus, [0, 1, 2]);
}

#[derive(Debug, Clone)]
enum Op {
    Push { wide: bool, memory: u64 },
    Next { wide: bool },
    End { which: usize },
    Remove { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any::<bool>(), prop_oneof![Just(0), 0..3000u64, Just(u64::MAX)])
            .prop_map(|(wide, memory)| Op::Push { wide, memory }),
        4 => any::<bool>().prop_map(|wide| Op::Next { wide }),
        3 => any::<usize>().prop_map(|which| Op::End { which }),
        1 => any::<usize>().prop_map(|which| Op::Remove { which }),
    ]
}

proptest! {
    /// Whatever comes and ends in whatever order: grants fit the budget, slots are kept, each lane keeps its order, and
    /// once everything that runs ends, everything that waits gets to run.
    #[test]
    fn budget_slots_and_order_hold(threads in 1..4usize, memory in 0..2000u64, ops in prop::collection::vec(op(), 0..120)) {
        let mut queue = Queue::new(threads, memory, 0);
        let mut waiting: Vec<(Key, bool)> = Vec::new();
        let mut running: Vec<(Key, bool, u64)> = Vec::new();
        let mut pushed = 0;
        let mut apply = |op: Op| -> Result<usize, TestCaseError> {
            match op {
                Op::Push { wide, memory } => {
                    queue.push(key(pushed), demand(wide, memory), wide);
                    waiting.push((key(pushed), wide));
                    pushed += 1;
                }
                Op::Next { wide } => {
                    let lane = if wide { Lane::Wide } else { Lane::Narrow };
                    let ready = queue.is_ready(lane);
                    let start = queue.next(lane);
                    prop_assert_eq!(ready, start.is_some());
                    if let Some(start) = start {
                        let at = waiting.iter().position(|(_, other)| *other == wide);
                        prop_assert_eq!(at.map(|at| waiting.remove(at)), Some((start.key, start.item)));
                        running.push((start.key, wide, start.memory));
                    }
                }
                Op::End { which } if !running.is_empty() => {
                    let (key, ..) = running.remove(which % running.len());
                    queue.end(key);
                }
                Op::Remove { which } if !waiting.is_empty() => {
                    let (key, wide) = waiting.remove(which % waiting.len());
                    prop_assert_eq!(queue.remove(key), Some(wide));
                    prop_assert_eq!(queue.remove(key), None);
                }
                Op::End { .. } | Op::Remove { .. } => {}
            }
            prop_assert!(running.iter().map(|(.., bytes)| bytes).sum::<u64>() <= memory);
            prop_assert!(running.iter().filter(|(_, wide, _)| *wide).count() <= 1);
            prop_assert!(running.iter().filter(|(_, wide, _)| !wide).count() <= threads);
            prop_assert_eq!(running.iter().map(|(key, ..)| *key).collect::<BTreeSet<_>>().len(), running.len());
            Ok(waiting.len())
        };
        for op in ops {
            apply(op)?;
        }
        let mut left = apply(Op::End { which: 0 })?;
        for _ in 0..200 {
            for wide in [false, true] {
                left = apply(Op::Next { wide })?;
            }
            apply(Op::End { which: 0 })?;
        }
        prop_assert_eq!(left, 0);
    }
}
