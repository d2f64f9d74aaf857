//! How long every rank is busy, and every place where a group of each kind may be.

use super::fill::Placed;
use crate::planner::{CostModel, Rank};

/// Neighbouring ranks that a group may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The first of them, in the whole job.
    pub(super) first: u32,
    /// How long the busiest of them is.
    pub(super) busy: f64,
}

/// All ranks.
pub(super) struct Board<'a> {
    cost: &'a CostModel,
    busy: Vec<f64>,
    /// By kind.
    slots: Vec<Vec<Slot>>,
}

impl<'a> Board<'a> {
    /// Nothing to do yet.
    pub(super) fn new(cost: &'a CostModel) -> Self {
        let slots = (0..cost.kinds().len()).map(|kind| firsts(cost, kind).map(|first| Slot { first, busy: 0.0 }).collect());
        Self { cost, busy: vec![0.0; cost.world() as usize], slots: slots.collect() }
    }

    /// With these groups.
    pub(super) fn with(cost: &'a CostModel, placed: &[Placed]) -> Self {
        let mut board = Self::new(cost);
        placed.iter().for_each(|p| board.add(p.kind, p.slot, cost.kinds()[p.kind].time(p.load).0));
        board
    }

    /// How long each rank is.
    pub(super) fn busy(&self) -> &[f64] {
        &self.busy
    }

    /// The slot of a kind that begins at this rank.
    pub(super) fn slot_at(&self, kind: usize, first: Rank) -> Option<usize> {
        self.slots[kind].iter().position(|slot| slot.first == first.0)
    }

    /// Where groups of a kind may be.
    pub(super) fn slots(&self, kind: usize) -> &[Slot] {
        &self.slots[kind]
    }

    /// Keeps the ranks of a slot busy for so much longer.
    pub(super) fn add(&mut self, kind: usize, slot: usize, time: f64) {
        let k = &self.cost.kinds()[kind];
        let first = self.slots[kind][slot].first;
        let ranks = first..first + k.degree.0;
        self.busy[ranks.start as usize..ranks.end as usize].iter_mut().for_each(|busy| *busy += time);
        for (other, slots) in self.cost.kinds().iter().zip(&mut self.slots).filter(|(other, _)| other.pool == k.pool) {
            let degree = other.degree.0;
            let from = slots.partition_point(|s| s.first + degree <= ranks.start);
            for slot in slots[from..].iter_mut().take_while(|s| s.first < ranks.end) {
                let shared = slot.first.max(ranks.start) as usize..(slot.first + degree).min(ranks.end) as usize;
                slot.busy = self.busy[shared].iter().copied().fold(slot.busy, f64::max);
            }
        }
    }
}

/// The first rank of every slot, ascending. Only groups that nest have any, each aligned to its own size: otherwise the ranks of a
/// group would not come to it at once, and wait.
fn firsts(cost: &CostModel, kind: usize) -> impl Iterator<Item = u32> + '_ {
    let k = &cost.kinds()[kind];
    let pool = &cost.pools()[k.pool];
    let (degree, node) = (k.degree.0, pool.gpus_per_node);
    let nests = if degree < node { degree.is_power_of_two() } else { (degree / node).is_power_of_two() };
    let inside = move |first: &u32| nests && first + degree <= pool.gpus && (degree >= node || first % node + degree <= node);
    let aligned = (0..pool.gpus / node).flat_map(move |at| (at * node..(at + 1) * node).step_by(degree.min(node) as usize));
    aligned
        .filter(move |first| degree <= node || first.is_multiple_of(degree))
        .filter(inside)
        .map(|first| pool.first_rank.0 + first)
}
