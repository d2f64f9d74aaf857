//! Groups on ranks within a makespan, or the finding that this way of choosing them does not manage.

use super::board::Board;
use crate::planner::{GroupKind, Load, instance::Instance};

/// A group and where it is.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) kind: usize,
    /// The slot of its kind.
    pub(super) slot: usize,
    pub(super) load: Load,
    /// Its sequences, by their place in the instance.
    pub(super) items: Vec<usize>,
}

/// What is to be saved.
#[derive(Debug, Clone)]
pub(super) struct Taste {
    /// How much of a group's fixed time a sequence pays that takes room in it: little fills groups up, all keeps sequences where they
    /// are computed cheapest.
    pub(super) thrift: f64,
    /// What a GPU's time costs, by pool.
    pub(super) prices: Vec<f64>,
}

/// Where a sequence goes.
#[derive(Debug, Clone, Copy)]
enum To {
    Group(usize),
    Slot { kind: usize, slot: usize },
}

/// Puts every sequence somewhere, as [`insert`] does.
pub(super) fn fill(instance: &Instance<'_>, makespan: f64, taste: &Taste) -> Option<Vec<Placed>> {
    let mut placed = Vec::new();
    let all = 0..instance.items.len();
    insert(instance, &mut Board::new(instance.cost), &mut placed, all, makespan, taste).then_some(placed)
}

/// Puts every one of `items`, longest first, where it takes the least GPU-time more: its own in a group with room, with `thrift` of
/// its share of the fixed time; with its whole share in a new group, which is more where the ranks have little time left to fill it.
/// Says whether all found a place within `makespan`.
pub(super) fn insert(
    instance: &Instance<'_>,
    board: &mut Board<'_>,
    placed: &mut Vec<Placed>,
    items: impl Iterator<Item = usize>,
    makespan: f64,
    taste: &Taste,
) -> bool {
    let kinds = instance.kinds();
    let price = |k: &GroupKind| f64::from(k.degree.0) * taste.prices[k.pool];
    for item in items {
        let load = instance.items[item];
        let mut best: Option<(f64, f64, To)> = None;
        // Of equal costs the one that leaves less over.
        let mut consider = |cost: f64, left: f64, to: To| {
            if best.is_none_or(|b| cost < b.0 * (1.0 - 1e-9) || (cost <= b.0 * (1.0 + 1e-9) && left < b.1)) {
                best = Some((cost, left, to));
            }
        };
        for (index, p) in placed.iter().enumerate() {
            let k = &kinds[p.kind];
            let then = p.load.plus(load);
            let more = k.variable(load);
            if k.holds(then) && board.slots(p.kind)[p.slot].busy + more <= makespan {
                let share = taste.thrift * k.fixed * load.tokens as f64 / k.capacity as f64;
                consider(price(k) * (more + share), (k.capacity - then.tokens) as f64, To::Group(index));
            }
        }
        for (kind, k) in kinds.iter().enumerate().filter(|(_, k)| k.holds(load)) {
            let more = k.variable(load);
            let full = more * k.capacity as f64 / load.tokens as f64;
            for (slot, s) in board.slots(kind).iter().enumerate() {
                let left = makespan - s.busy - k.fixed;
                if more <= left {
                    let share = if more > 0.0 { k.fixed * more / left.min(full) } else { k.fixed };
                    consider(price(k) * (more + share), k.capacity as f64 + left, To::Slot { kind, slot });
                }
            }
        }
        let Some((_, _, to)) = best else { return false };
        match to {
            To::Group(index) => {
                let p = &mut placed[index];
                p.load = p.load.plus(load);
                p.items.push(item);
                board.add(p.kind, p.slot, kinds[p.kind].variable(load));
            }
            To::Slot { kind, slot } => {
                board.add(kind, slot, kinds[kind].time(load).0);
                placed.push(Placed { kind, slot, load, items: vec![item] });
            }
        }
    }
    true
}
