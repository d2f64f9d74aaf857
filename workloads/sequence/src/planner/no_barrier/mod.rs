//! The step without a barrier between micro-batches: no rank waits but for the others of its group, so that what counts is the sum
//! of the times of a rank's groups (as in ByteScale), for trainers that gather no parameters over all ranks.
//!
//! ```text
//! a makespan ─ fill.rs: every sequence, longest first, to the group that takes least GPU-time more ─ smallest makespan, by bisection
//! groups on ranks ─ each rank runs its own by descending degree ─ the n-th group of every rank is micro-batch n
//! ```
//!
//! With powers of two, groups nest; in descending order of degree all ranks of a group then come to it at once, and a rank is idle
//! only at the end. The groups of the plan with a barrier, dealt out anew, are tried too.

mod board;
mod fill;

use super::{
    Batch, CostModel, Degree, Effort, Group, Load, MicroBatch, Millis, Plan, Rank, Sequence, bound::whole_step::whole_step,
    instance::Instance, solve::Stop,
};
use board::Board;
use fill::{Placed, fill};

/// How much of a group's fixed time a sequence pays that takes room in it: little fills groups up, all keeps sequences where they
/// are computed cheapest.
const THRIFT: [f64; 3] = [1.0, 0.6, 0.2];
/// The first makespan tried lies so far above the bound, as a share; then twice as far.
const ABOVE: f64 = 0.01;
/// Where not even so many times the bound suffices, filling is given up.
const HOPELESS: f64 = 64.0;

/// The better of groups chosen for this objective and those of `barred`, the plan with a barrier.
pub(super) fn plan(
    batch: &Batch,
    sequences: &[Sequence],
    cost: &CostModel,
    effort: Effort,
    barred: Plan,
    stop: Stop<'_>,
) -> Plan {
    let instance = Instance::new(cost, sequences.iter().map(|s| s.tokens.0));
    let bound = whole_step(cost, &instance.classes);
    let precision = match effort {
        Effort::Fast => 2e-3,
        Effort::Thorough => 2e-4,
    };
    let mut best = write(cost, sequences, &dealt(batch, cost, sequences, &barred), bound);
    for thrift in THRIFT {
        let mut low = bound;
        let mut high = bound;
        while high < best.predicted_ms.0 && high < HOPELESS * bound && !stop() {
            low = high;
            high = bound + 2.0 * (high - bound).max(0.5 * ABOVE * bound);
            let Some(placed) = fill(&instance, high, thrift) else { continue };
            best = better(best, write(cost, sequences, &placed, bound));
            break;
        }
        high = high.min(best.predicted_ms.0);
        while high - low > precision * bound && !stop() {
            let middle = 0.5 * (low + high);
            match fill(&instance, middle, thrift) {
                Some(placed) => {
                    best = better(best, write(cost, sequences, &placed, bound));
                    high = middle;
                }
                None => low = middle,
            }
        }
    }
    best
}

fn better(a: Plan, b: Plan) -> Plan {
    if b.predicted_ms < a.predicted_ms { b } else { a }
}

/// The groups of a plan, longest first, each where it can start soonest.
fn dealt(batch: &Batch, cost: &CostModel, sequences: &[Sequence], plan: &Plan) -> Vec<Placed> {
    let most = batch.sequences.iter().map(|s| s.index + 1).max().unwrap_or(0);
    let mut place = vec![0; most];
    sequences.iter().enumerate().for_each(|(item, s)| place[s.index] = item);
    let groups = plan.micro_batches.iter().flat_map(|m| &m.groups);
    let mut placed: Vec<Placed> = groups
        .filter_map(|g| {
            let pool =
                cost.pools().iter().position(|p| g.first_rank >= p.first_rank && g.first_rank.0 < p.first_rank.0 + p.gpus)?;
            let kind = cost.kinds().iter().position(|k| k.pool == pool && k.degree == g.degree)?;
            let items: Vec<usize> = g.sequences.iter().map(|&index| place[index]).collect();
            let load = items.iter().fold(Load::default(), |sum, &i| sum.plus(Load::of(sequences[i].tokens.0)));
            Some(Placed { kind, slot: 0, load, items })
        })
        .collect();
    let time = |p: &Placed| cost.kinds()[p.kind].time(p.load).0;
    placed.sort_by(|a, b| {
        let degree = |p: &Placed| cost.kinds()[p.kind].degree;
        degree(b).cmp(&degree(a)).then(time(b).total_cmp(&time(a)))
    });
    let mut board = Board::new(cost);
    for p in &mut placed {
        let slots = board.slots(p.kind);
        p.slot = (0..slots.len()).min_by(|&a, &b| slots[a].busy.total_cmp(&slots[b].busy)).unwrap_or(0);
        board.add(p.kind, p.slot, time(p));
    }
    placed
}

/// The plan of these groups: every rank's by descending degree.
fn write(cost: &CostModel, sequences: &[Sequence], placed: &[Placed], bound: f64) -> Plan {
    let board = Board::new(cost);
    let mut groups: Vec<(Group, Load)> = placed.iter().map(|p| group(cost, sequences, &board, p)).collect();
    groups.sort_by(|(a, _), (b, _)| {
        b.degree.cmp(&a.degree).then(a.first_rank.cmp(&b.first_rank)).then(b.predicted_ms.0.total_cmp(&a.predicted_ms.0))
    });
    let mut done = vec![0; cost.world() as usize];
    let mut micro_batches: Vec<MicroBatch> = Vec::new();
    for (group, longest) in groups {
        let ranks = group.first_rank.0 as usize..(group.first_rank.0 + group.degree.0) as usize;
        let turn = done[ranks.clone()].iter().copied().max().unwrap_or(0);
        done[ranks].fill(turn + 1);
        if turn == micro_batches.len() {
            micro_batches.push(MicroBatch { predicted_ms: Millis(0.0), bound_ms: Millis(0.0), groups: Vec::new() });
        }
        let m = &mut micro_batches[turn];
        m.predicted_ms = m.predicted_ms.max(group.predicted_ms);
        let alone = cost.kinds().iter().filter(|k| k.holds(longest)).map(|k| k.time(longest).0).fold(f64::INFINITY, f64::min);
        m.bound_ms = m.bound_ms.max(Millis(alone.min(m.predicted_ms.0)));
        m.groups.push(group);
    }
    micro_batches.iter_mut().for_each(|m| m.groups.sort_by_key(|g| g.first_rank));
    let mut plan = Plan {
        world: cost.world(),
        barrier: false,
        micro_batches,
        predicted_ms: Millis(0.0),
        bound_ms: Millis(0.0),
        any_division_bound_ms: Millis(0.0),
    };
    plan.predicted_ms = plan.finish().into_iter().fold(Millis(0.0), Millis::max);
    plan.bound_ms = Millis(bound.min(plan.predicted_ms.0));
    plan.any_division_bound_ms = plan.bound_ms;
    plan
}

/// A group as the plan has it, and its longest sequence.
fn group(cost: &CostModel, sequences: &[Sequence], board: &Board<'_>, placed: &Placed) -> (Group, Load) {
    let kind = &cost.kinds()[placed.kind];
    let mut members: Vec<usize> = placed.items.iter().map(|&item| sequences[item].index).collect();
    members.sort_unstable();
    let longest = placed.items.iter().map(|&item| sequences[item].tokens.0).max().unwrap_or(0);
    let first = board.slots(placed.kind)[placed.slot].first;
    let degree: Degree = kind.degree;
    (Group { first_rank: Rank(first), degree, predicted_ms: kind.time(placed.load), sequences: members }, Load::of(longest))
}

#[cfg(test)]
mod tests {
    use crate::planner::{
        Batch, Cluster, CostModel, Degrees, ModelProfile, PlanOptions, Tokens, plan,
        simulate::{Dataset, Lengths},
    };

    fn options(barrier: bool) -> PlanOptions {
        PlanOptions { barrier, ..PlanOptions::default() }
    }

    #[test]
    fn a_step_without_a_barrier_is_valid_and_faster_than_with_one() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        let context = Tokens(384_000);
        for degrees in [Degrees::PowersOfTwo, Degrees::Any] {
            let cost = CostModel::new(&cluster, &model, context, degrees).unwrap();
            for (dataset, seed) in [(Dataset::GitHub, 1), (Dataset::CommonCrawl, 2), (Dataset::Wikipedia, 3)] {
                let batch = Batch::for_context(&Lengths::new(dataset, seed).batch(256, context, 64), context, 64);
                let [free, barred] = [false, true].map(|barrier| plan(&batch, &cost, &options(barrier)).unwrap());
                free.check(&batch, &cost).unwrap();
                assert!(!free.barrier && barred.barrier);
                assert!(
                    free.predicted_ms.0 <= barred.predicted_ms.0,
                    "{dataset:?}: {} of {}",
                    free.predicted_ms,
                    barred.predicted_ms
                );
                // One bound for both: a barrier only takes longer.
                assert!(
                    free.bound_ms.0 <= barred.predicted_ms.0 && free.bound_ms.0 >= barred.any_division_bound_ms.0 * (1.0 - 1e-6)
                );
                assert!(free.gap() < 0.15, "{dataset:?} {degrees:?}: {:.3}", free.gap());
                assert_eq!(free, plan(&batch, &cost, &options(false)).unwrap(), "the same every time");
            }
        }
    }

    #[test]
    fn one_rank_runs_its_micro_batches_one_after_the_other() {
        let mut cluster = Cluster::built_in("a100x64").unwrap();
        (cluster.pools[0].nodes, cluster.pools[0].gpus_per_node) = (1, 1);
        let mut model = ModelProfile::built_in("gpt-7b").unwrap();
        model.parameters[0].gi = 0.5;
        model.parameters.truncate(1);
        let cost = CostModel::new(&cluster, &model, Tokens(4_000), Degrees::PowersOfTwo).unwrap();
        let batch = Batch::exact(&[3_000, 3_000, 3_000, 500].map(Tokens));
        let step = plan(&batch, &cost, &options(false)).unwrap();
        step.check(&batch, &cost).unwrap();
        let sum: f64 = step.micro_batches.iter().map(|m| m.predicted_ms.0).sum();
        assert!((step.predicted_ms.0 - sum).abs() < 1e-6 && step.bound_ms.0 <= step.predicted_ms.0);
    }
}
