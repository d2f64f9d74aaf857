//! The plan with a barrier, run without one: as it stands, and with its groups dealt out anew.

use super::{board::Board, fill::Placed};
use crate::planner::{CostModel, Load, Millis, Plan, Sequence};

/// The same groups on the same ranks in the same order, none of which waits for more than its own ranks. Takes no longer.
pub(super) fn unchanged(barred: &Plan) -> Plan {
    let mut plan = Plan { barrier: false, ..barred.clone() };
    plan.predicted_ms = plan.finish().into_iter().fold(Millis(0.0), Millis::max);
    plan
}

/// The groups of a plan where they are.
pub(super) fn groups(cost: &CostModel, sequences: &[Sequence], plan: &Plan) -> Option<Vec<Placed>> {
    let mut place = vec![0; sequences.iter().map(|s| s.index + 1).max().unwrap_or(0)];
    sequences.iter().enumerate().for_each(|(item, s)| place[s.index] = item);
    let board = Board::new(cost);
    let placed = plan.micro_batches.iter().flat_map(|m| &m.groups).map(|g| {
        let pool = cost.pools().iter().position(|p| g.first_rank >= p.first_rank && g.first_rank.0 < p.first_rank.0 + p.gpus)?;
        let kind = cost.kinds().iter().position(|k| k.pool == pool && k.degree == g.degree)?;
        let mut items: Vec<usize> = g.sequences.iter().map(|&index| place[index]).collect();
        items.sort_unstable();
        let load = items.iter().fold(Load::default(), |sum, &item| sum.plus(Load::of(sequences[item].tokens.0)));
        Some(Placed { kind, slot: board.slot_at(kind, g.first_rank)?, load, items })
    });
    placed.collect()
}

/// The same groups, of large degree and long ones first, each where it can start soonest.
pub(super) fn deal(cost: &CostModel, mut placed: Vec<Placed>) -> Vec<Placed> {
    let kinds = cost.kinds();
    let time = |p: &Placed| kinds[p.kind].time(p.load).0;
    placed.sort_by(|a, b| kinds[b.kind].degree.cmp(&kinds[a.kind].degree).then(time(b).total_cmp(&time(a))));
    let mut board = Board::new(cost);
    for p in &mut placed {
        let slots = board.slots(p.kind);
        p.slot = (0..slots.len()).min_by(|&a, &b| slots[a].busy.total_cmp(&slots[b].busy)).unwrap_or(0);
        board.add(p.kind, p.slot, time(p));
    }
    placed
}
