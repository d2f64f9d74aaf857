//! Writing packings down as a plan: ranks for groups, indices of the input for sequences.

use super::{
    CostModel, Degree, Group, MicroBatch, Millis, Plan, Sequence, bound::whole_step::whole_step, instance::Instance, layout,
    pack::refine::Draft, solve::Trial,
};

/// The plan of a trial whose chunks are all planned.
pub(super) fn plan(cost: &CostModel, trial: &Trial<'_>) -> Option<Plan> {
    let sequences = &trial.sequences;
    let drafts = trial.drafts.as_ref()?;
    let chunks = trial.chunks.iter().zip(&trial.instances).zip(drafts);
    let micro_batches: Option<Vec<MicroBatch>> =
        chunks.map(|((chunk, instance), draft)| micro_batch(instance, draft, &sequences[chunk.clone()])).collect();
    let micro_batches = micro_batches?;
    let mut lengths: Vec<u64> = sequences.iter().map(|s| s.tokens.0).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    Some(Plan {
        world: cost.world(),
        barrier: true,
        predicted_ms: micro_batches.iter().map(|m| m.predicted_ms).sum(),
        bound_ms: micro_batches.iter().map(|m| m.bound_ms).sum(),
        any_division_bound_ms: Millis(whole_step(cost, &Instance::new(cost, lengths.into_iter()).classes)),
        micro_batches,
    })
}

fn micro_batch(instance: &Instance<'_>, draft: &Draft, sequences: &[Sequence]) -> Option<MicroBatch> {
    let kinds = instance.kinds();
    let bins = &draft.packing.bins;
    let shapes: Vec<(usize, Degree)> = bins.iter().map(|b| (kinds[b.kind].pool, kinds[b.kind].degree)).collect();
    let ranks = layout::place(instance.cost, &shapes)?;
    let group = |(bin, first_rank): (&super::pack::Bin, super::Rank)| {
        let mut members: Vec<usize> = bin.items.iter().map(|&i| sequences[i].index).collect();
        members.sort_unstable();
        let kind = &kinds[bin.kind];
        Group { first_rank, degree: kind.degree, predicted_ms: kind.time(bin.load), sequences: members }
    };
    let mut groups: Vec<Group> = bins.iter().zip(ranks).map(group).collect();
    groups.sort_by_key(|g| g.first_rank);
    Some(MicroBatch { predicted_ms: Millis(draft.packing.time), bound_ms: Millis(draft.bound), groups })
}
