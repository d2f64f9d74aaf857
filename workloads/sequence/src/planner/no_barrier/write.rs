//! Writing groups on ranks down as a plan.

use super::{board::Board, fill::Placed};
use crate::planner::{CostModel, Group, Load, MicroBatch, Millis, Plan, Rank, Sequence};

/// The plan of these groups: every rank's by descending degree.
pub(super) fn plan(cost: &CostModel, sequences: &[Sequence], placed: &[Placed], bound: f64) -> Plan {
    let board = Board::new(cost);
    let mut groups: Vec<Group> = placed.iter().map(|p| group(cost, sequences, &board, p)).collect();
    groups.sort_by(|a, b| {
        b.degree.cmp(&a.degree).then(a.first_rank.cmp(&b.first_rank)).then(b.predicted_ms.0.total_cmp(&a.predicted_ms.0))
    });
    let mut done = vec![0; cost.world() as usize];
    let mut micro_batches: Vec<MicroBatch> = Vec::new();
    for group in groups {
        let ranks = group.first_rank.0 as usize..(group.first_rank.0 + group.degree.0) as usize;
        let turn = done[ranks.clone()].iter().copied().max().unwrap_or(0);
        done[ranks].fill(turn + 1);
        if turn == micro_batches.len() {
            micro_batches.push(MicroBatch { predicted_ms: Millis(0.0), bound_ms: Millis(0.0), groups: Vec::new() });
        }
        let m = &mut micro_batches[turn];
        m.predicted_ms = m.predicted_ms.max(group.predicted_ms);
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
    settled(plan, cost, sequences, bound)
}

/// A plan with `bound` for the step, and for each micro-batch the time that its slowest sequence takes by itself.
pub(super) fn settled(mut plan: Plan, cost: &CostModel, sequences: &[Sequence], bound: f64) -> Plan {
    let mut alone = vec![0.0; sequences.iter().map(|s| s.index + 1).max().unwrap_or(0)];
    for s in sequences {
        let load = Load::of(s.tokens.0);
        let times = cost.kinds().iter().filter(|k| k.holds(load)).map(|k| k.time(load).0);
        alone[s.index] = times.fold(f64::INFINITY, f64::min);
    }
    for m in &mut plan.micro_batches {
        let slowest = m.groups.iter().flat_map(|g| &g.sequences).map(|&index| alone[index]).fold(0.0, f64::max);
        m.bound_ms = Millis(slowest.min(m.predicted_ms.0));
    }
    plan.bound_ms = Millis(bound.min(plan.predicted_ms.0));
    plan.any_division_bound_ms = plan.bound_ms;
    plan
}

/// A group as the plan has it.
fn group(cost: &CostModel, sequences: &[Sequence], board: &Board<'_>, placed: &Placed) -> Group {
    let kind = &cost.kinds()[placed.kind];
    let mut members: Vec<usize> = placed.items.iter().map(|&item| sequences[item].index).collect();
    members.sort_unstable();
    let first_rank = Rank(board.slots(placed.kind)[placed.slot].first);
    Group { first_rank, degree: kind.degree, predicted_ms: kind.time(placed.load), sequences: members }
}
