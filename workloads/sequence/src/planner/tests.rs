//! Bounds and plans against an oracle: all partitions of a few sequences into groups.

use super::{
    Batch, Cluster, CostModel, Degrees, Effort, Load, ModelProfile, PlanOptions, Pool, Tokens,
    bound::{by_degree, whole_step::whole_step},
    instance::Instance,
    pack::refine::{Refine, draft},
    plan,
    simulate::{Dataset, Lengths},
};
use proptest::prelude::*;

fn cost(gpus: u32, memory_gib: f64) -> CostModel {
    let mut cluster = Cluster::built_in("a100x64").unwrap();
    let pool = &mut cluster.pools[0];
    (pool.nodes, pool.gpus_per_node, pool.memory_gib) = (1, gpus, memory_gib);
    let mut model = ModelProfile::built_in("gpt-7b").unwrap();
    model.parameters.truncate(1);
    model.parameters[0].gi = 1.0;
    CostModel::new(&cluster, &model, Tokens(4_000), Degrees::PowersOfTwo).unwrap()
}

/// The least makespan of one micro-batch, if there is a plan.
fn optimum(cost: &CostModel, lengths: &[u64]) -> Option<f64> {
    fn partitions(rest: &[u64], blocks: &mut Vec<Load>, visit: &mut dyn FnMut(&[Load])) {
        let Some((&first, rest)) = rest.split_first() else { return visit(blocks) };
        for index in 0..blocks.len() {
            let before = blocks[index];
            blocks[index] = before.plus(Load::of(first));
            partitions(rest, blocks, visit);
            blocks[index] = before;
        }
        blocks.push(Load::of(first));
        partitions(rest, blocks, visit);
        blocks.pop();
    }
    let mut best = f64::INFINITY;
    partitions(lengths, &mut Vec::new(), &mut |blocks| {
        let possible = |block: Load| cost.kinds().iter().filter(move |k| k.holds(block));
        let times = blocks.iter().flat_map(|&block| possible(block).map(move |k| k.time(block).0));
        for makespan in times.filter(|&t| t < best).collect::<Vec<_>>() {
            let least = |&block: &Load| possible(block).filter(|k| k.time(block).0 <= makespan).map(|k| k.degree.0).min();
            let gpus: Option<u32> = blocks.iter().map(least).sum();
            if makespan < best && gpus.is_some_and(|gpus| gpus <= cost.world()) {
                best = makespan;
            }
        }
    });
    best.is_finite().then_some(best)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn few_sequences_are_planned_as_fast_as_can_be_and_proved_so(
        mut lengths in proptest::collection::vec(1u64..120, 1..7), power in 1u32..4, memory in 8.1f64..24.0,
    ) {
        lengths.iter_mut().for_each(|n| *n *= 128);
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let cost = cost(1 << power, memory);
        let instance = Instance::new(&cost, lengths.iter().copied());
        prop_assume!(cost.largest().is_some_and(|k| k.capacity >= lengths[0]));
        let batch = Batch::exact(&lengths.iter().copied().map(Tokens).collect::<Vec<_>>());
        let free = plan(&batch, &cost, &PlanOptions { barrier: false, ..PlanOptions::default() }).unwrap();
        free.check(&batch, &cost).unwrap();
        // What the plan says of its bound is no more than its time in any case.
        let step = whole_step(&cost.in_units(128), &instance.classes);
        prop_assert!(step <= free.predicted_ms.0 * (1.0 + 1e-6), "{step} of {}", free.predicted_ms);
        let (best, made) = (optimum(&cost, &lengths), draft(&instance, 30));
        let Some(best) = best else {
            prop_assert!(made.is_none());
            return Ok(());
        };
        let near = 1.0 + 1e-6;
        prop_assert!(by_degree::relax(&instance, 60).bound <= best * near);
        prop_assert!(whole_step(&cost, &instance.classes) <= best * near);
        let Some(mut made) = made else { return Ok(()) };
        prop_assert!(made.packing.time >= best / near && made.bound <= best * near);
        let work = Effort::Fast.work();
        let by = Refine { instance: &instance, work: &work, ceiling: f64::INFINITY, stop: &|| false };
        made.raise_bound(by);
        prop_assert!(made.bound <= best * near, "{} of {best}", made.bound);
        made.close_gap(by);
        prop_assert!((made.packing.time / best - 1.0).abs() < 1e-6, "{} of {best}", made.packing.time);
        prop_assert!((made.bound / best - 1.0).abs() < 1e-6, "{} of {best}", made.bound);
    }
}

#[test]
fn faster_nodes_are_used_for_what_they_are_faster_at() {
    let mut cluster = Cluster::built_in("a100x64").unwrap();
    let mut model = ModelProfile::built_in("gpt-7b").unwrap();
    let slow = model.classes["a100-40g"];
    let fast = super::Speed { alpha1_ms: 0.4 * slow.alpha1_ms, alpha2_ms: 0.45 * slow.alpha2_ms, beta1_ms: 0.5 * slow.beta1_ms };
    model.classes.insert("h100-80g".into(), fast);
    let context = Tokens(192_000);
    let lengths = Lengths::new(Dataset::CommonCrawl, 9).batch(256, context, 96);
    let step = |cluster: &Cluster, barrier: bool| {
        let cost = CostModel::new(cluster, &model, context, Degrees::PowersOfTwo).unwrap();
        let batch = Batch::for_context(&lengths, context, 96);
        let step = plan(&batch, &cost, &PlanOptions { barrier, ..PlanOptions::default() }).unwrap();
        step.check(&batch, &cost).unwrap();
        step
    };
    let alone = step(&cluster, true);
    cluster.pools.push(Pool { class: "h100-80g".into(), nodes: 4, gpus_per_node: 8, memory_gib: 60.0 });
    for barrier in [true, false] {
        let both = step(&cluster, barrier);
        // The fast nodes double what there is to compute with, and more than double the memory.
        assert!(both.predicted_ms.0 < 0.6 * alone.predicted_ms.0, "{} of {}", both.predicted_ms, alone.predicted_ms);
        assert!(both.bound_ms.0 <= both.predicted_ms.0 && both.gap() < 0.15, "{}", both.gap());
        let groups = || both.micro_batches.iter().flat_map(|m| &m.groups);
        assert!(groups().any(|g| g.first_rank.0 >= 64) && groups().any(|g| g.first_rank.0 < 64));
    }
}

#[test]
fn bounds_and_speed_ups_are_those_of_the_table_in_a_quick_subset() {
    let cluster = Cluster::built_in("a100x64").unwrap();
    for (name, context, dataset, over_static) in [
        ("gpt-7b", 384_000, Dataset::CommonCrawl, 1.42 * 0.95),
        ("gpt-13b", 192_000, Dataset::Wikipedia, 1.59 * 0.95),
        ("gpt-30b", 192_000, Dataset::GitHub, 1.44 * 0.9),
    ] {
        let context = Tokens(context);
        let cost = CostModel::new(&cluster, &ModelProfile::built_in(name).unwrap(), context, Degrees::PowersOfTwo).unwrap();
        let mut lengths = Lengths::new(dataset, 17);
        let [mut own, mut bound, mut fixed, mut ada] = [0.0; 4];
        for _ in 0..3 {
            let batch = Batch::for_context(&lengths.batch(512, context, 64), context, 64);
            let step = plan(&batch, &cost, &PlanOptions::default()).unwrap();
            step.check(&batch, &cost).unwrap();
            let degree = super::baseline::flexsp_static_degree(context, dataset);
            fixed += super::baseline::static_degree(&batch, &cost, degree).unwrap().predicted.0;
            ada += super::baseline::batch_ada(&batch, &cost).unwrap().predicted.0;
            (own, bound) = (own + step.predicted_ms.0, bound + step.bound_ms.0);
            for m in &step.micro_batches {
                let sequences: usize = m.groups.iter().map(|g| g.sequences.len()).sum();
                assert!(sequences < 19 || m.gap() <= 0.04, "{name} {dataset:?}: {sequences} sequences, {:.4}", m.gap());
                assert!(sequences > 10 || m.optimal(), "{name} {dataset:?}: {sequences} sequences are not proved optimal");
            }
        }
        assert!(own / bound < 1.02, "{name} {dataset:?}: gap {:.4}", own / bound - 1.0);
        assert!(fixed / own >= over_static && ada / own >= 1.24, "{name} {dataset:?}: {:.3}, {:.3}", fixed / own, ada / own);
    }
}
