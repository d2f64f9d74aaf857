//! Random programs over random groups, against a model that computes every result from the inputs of all ranks.

use super::{
    super::{Direction, Exchange, ScanMethod, exclusive_scan_by, share},
    Make, bytes, on_all_ranks,
};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestRunner},
};
use std::{collections::HashMap, sync::Arc};

/// One call of a group.
#[derive(Debug, Clone)]
struct Step {
    /// Its members in the order of their ranks; all ranks by themselves when this is the whole group.
    members: Vec<usize>,
    /// Split off anew, though such a group exists.
    afresh: bool,
    seed: u64,
    len: usize,
    root: usize,
    call: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gather,
    GatherVaried,
    GatherInPlace,
    /// Waited for at the end of the program.
    Start,
    Reduce,
    ReduceScatter,
    Broadcast,
    Barrier,
    /// Everyone to the next and the one before, one message longer than the other.
    Neighbours,
    Scan(ScanMethod, Direction),
}

/// Any sequence of calls of any groups of any ranks gives every rank what the model says.
pub fn any_program_equals_its_model(make: Make) {
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let programs = (1usize..=6).prop_flat_map(|size| (Just(size), prop::collection::vec(step(size), 1..14)));
    TestRunner::new(config)
        .run(&programs, |(size, program)| {
            on_all_ranks(make, size, |whole| run(&program, &whole));
            Ok(())
        })
        .unwrap();
}

fn step(size: usize) -> impl Strategy<Value = Step> {
    use {Direction::*, ScanMethod::*};
    let part = subsequence((0..size).collect::<Vec<_>>(), 1..=size).prop_shuffle();
    let members = prop_oneof![Just((0..size).collect()), part];
    // Long ones take the other way in reductions and broadcasts.
    let len = prop_oneof![8 => 0usize..40, 2 => 1000usize..5000, 1 => 70_000usize..150_000];
    let call = select(vec![
        Kind::Gather,
        Kind::GatherVaried,
        Kind::GatherInPlace,
        Kind::Start,
        Kind::Reduce,
        Kind::ReduceScatter,
        Kind::Broadcast,
        Kind::Barrier,
        Kind::Neighbours,
        Kind::Scan(Gather, Forward),
        Kind::Scan(Gather, Backward),
        Kind::Scan(LogStep, Forward),
        Kind::Scan(LogStep, Backward),
    ]);
    (members, any::<bool>(), any::<u64>(), len, any::<prop::sample::Index>(), call).prop_map(
        |(members, afresh, seed, len, root, call)| {
            let root = root.index(members.len());
            Step { members, afresh, seed, len, root, call }
        },
    )
}

fn run(program: &[Step], whole: &Arc<dyn Exchange>) {
    let mut groups: HashMap<Vec<usize>, Arc<dyn Exchange>> = HashMap::new();
    let mut started = Vec::new();
    for step in program {
        if !step.members.contains(&whole.rank()) {
            continue;
        }
        if step.afresh || !groups.contains_key(&step.members) {
            groups.insert(step.members.clone(), whole.split(&step.members).unwrap());
        }
        let group = &groups[&step.members];
        match step.call {
            Kind::Start => {
                let mine = bytes(step.seed, group.rank(), step.len);
                started.push((group.start_all_gather(mine).unwrap(), concatenation(step, &vec![step.len; group.size()])));
            }
            _ => call(step, &**group),
        }
    }
    for (pending, expected) in started.into_iter().rev() {
        assert_eq!(pending.wait().unwrap(), expected);
    }
}

fn call(step: &Step, group: &dyn Exchange) {
    let (rank, size, seed, len) = (group.rank(), group.size(), step.seed, step.len);
    match step.call {
        Kind::Gather => {
            let mut out = vec![0; len * size];
            group.all_gather(&bytes(seed, rank, len), &mut out).unwrap();
            assert_eq!(out, concatenation(step, &vec![len; size]));
        }
        Kind::GatherVaried | Kind::GatherInPlace => {
            let lens: Vec<usize> = (0..size).map(|rank| (seed as usize).wrapping_mul(rank + 1) % (len + 1)).collect();
            let mut out = vec![0; lens.iter().sum()];
            if matches!(step.call, Kind::GatherVaried) {
                group.all_gather_varied(&bytes(seed, rank, lens[rank]), &lens, &mut out).unwrap();
            } else {
                let start: usize = lens[..rank].iter().sum();
                out[start..start + lens[rank]].copy_from_slice(&bytes(seed, rank, lens[rank]));
                group.all_gather_in_place(&lens, &mut out).unwrap();
            }
            assert_eq!(out, concatenation(step, &lens));
        }
        Kind::Reduce => {
            let mut values = numbers(seed, rank, len);
            group.all_reduce_f64(&mut values).unwrap();
            assert_eq!(values, sum(seed, size, len));
        }
        Kind::ReduceScatter => {
            let part = share(len, size, rank);
            let mut out = vec![0.0; part.len()];
            group.reduce_scatter_f64(&numbers(seed, rank, len), &mut out).unwrap();
            assert_eq!(out, sum(seed, size, len)[part]);
        }
        Kind::Broadcast => {
            let mut values = bytes(seed, rank, len);
            group.broadcast(step.root, &mut values).unwrap();
            assert_eq!(values, bytes(seed, step.root, len));
        }
        Kind::Barrier => group.barrier().unwrap(),
        Kind::Neighbours if size == 1 => {}
        Kind::Neighbours => {
            let (before, after) = ((rank + size - 1) % size, (rank + 1) % size);
            let (up, down) = (bytes(seed, rank, len), bytes(!seed, rank, len + 1));
            let (mut from_before, mut from_after) = (vec![0; len], vec![0; len + 1]);
            // Of two ranks, each is before and after the other: the order of sending is that of receiving.
            group
                .transfer(&[(after, &up), (before, &down)], &mut [(before, &mut from_before), (after, &mut from_after)])
                .unwrap();
            assert_eq!(from_before, bytes(seed, before, len));
            assert_eq!(from_after, bytes(!seed, after, len + 1));
        }
        Kind::Scan(method, direction) => {
            let count = len.min(700);
            let result = exclusive_scan_by(group, method, &maps(seed, rank, count), direction, compose).unwrap();
            let wanted = match direction {
                Direction::Forward => 0..rank,
                Direction::Backward => rank + 1..size,
            };
            let expected = wanted.map(|rank| maps(seed, rank, count)).reduce(|mut left, right| {
                compose(&mut left, &right);
                left
            });
            assert_eq!(result, expected);
        }
        Kind::Start => unreachable!("handled where it can be kept"),
    }
}

fn concatenation(step: &Step, lens: &[usize]) -> Vec<u8> {
    lens.iter().enumerate().flat_map(|(rank, &len)| bytes(step.seed, rank, len)).collect()
}

/// Numbers whose sum depends on the order.
fn numbers(seed: u64, rank: usize, len: usize) -> Vec<f64> {
    let scale = |byte: u8| f64::from(byte) * 0.1 * 10f64.powi(i32::from(byte % 31) - 15);
    bytes(seed, rank, len).into_iter().map(scale).collect()
}

fn sum(seed: u64, size: usize, len: usize) -> Vec<f64> {
    let mut sum = numbers(seed, 0, len);
    for rank in 1..size {
        sum.iter_mut().zip(numbers(seed, rank, len)).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// 2×2 matrices modulo 2³²: their product is associative, does not commute, and is exact.
fn maps(seed: u64, rank: usize, count: usize) -> Vec<u32> {
    bytes(seed, rank, count * 4).into_iter().map(u32::from).collect()
}

fn compose(left: &mut [u32], right: &[u32]) {
    for (left, right) in left.chunks_exact_mut(4).zip(right.chunks_exact(4)) {
        let entry = |row: usize, column: usize| {
            left[row * 2].wrapping_mul(right[column]).wrapping_add(left[row * 2 + 1].wrapping_mul(right[2 + column]))
        };
        let product = [entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)];
        left.copy_from_slice(&product);
    }
}

/// Short and long sums of f32 have, on every rank, the bits of the f64 sum in rank order, rounded once.
pub fn sums_have_the_same_bits_on_all_ranks(make: Make) {
    // The last two take several blocks.
    for (size, len) in [(4, 3), (4, 100_003), (2, 1_100_003), (4, 600_007)] {
        let input = |rank: usize| -> Vec<f32> { numbers(7, rank, len).into_iter().map(|value| value as f32).collect() };
        let inputs: Vec<Vec<f32>> = (0..size).map(input).collect();
        let expected: Vec<u32> = (0..len)
            .map(|at| inputs[1..].iter().fold(f64::from(inputs[0][at]), |sum, of| sum + f64::from(of[at])) as f32)
            .map(f32::to_bits)
            .collect();
        on_all_ranks(make, size, |group| {
            let rank = group.rank();
            let mut all = inputs[rank].clone();
            group.all_reduce_f32(&mut all).unwrap();
            assert!(all.iter().map(|value| value.to_bits()).eq(expected.iter().copied()));
            let part = share(len, size, rank);
            let mut own = vec![0.0; part.len()];
            group.reduce_scatter_f32(&inputs[rank], &mut own).unwrap();
            assert!(own.iter().map(|value| value.to_bits()).eq(expected[part].iter().copied()));
        });
    }
}
