//! Large-neighbourhood search over groups on ranks: take a few groups apart, those of the busiest ranks among them, and put their
//! sequences anew, within a makespan that lies below the present one.
//!
//! Better means that the busiest rank has less to do, or as much and the others less. Groups that are filled up while they are put
//! anew save a fixed time each, which is most of what there is to gain.

use super::{
    board::Board,
    fill::{Placed, Taste, insert},
};
use crate::planner::{instance::Instance, solve::Stop};

/// The sum over ranks is of this power, so that the busiest count most.
const POWER: i32 = 8;
/// Groups taken apart at once, at most.
const MOST: usize = 12;
/// In so many of ten rounds the first of them is one of the busiest rank.
const BUSIEST: u8 = 7;
/// Prices of pools differ by a factor of e to this at most: in which pool GPU-time is short is not known before.
const SPREAD: f64 = 4.0;

/// Improves `placed` until `work` comparisons of a sequence with a group or slot are used up, or the busiest rank has no more to do
/// than `bound`.
pub(super) fn improve(
    instance: &Instance<'_>,
    placed: Vec<Placed>,
    bound: f64,
    mut work: usize,
    seed: u64,
    stop: Stop<'_>,
) -> Vec<Placed> {
    let mut random = fastrand::Rng::with_seed(seed);
    let slots: usize = (0..instance.kinds().len()).map(|kind| Board::new(instance.cost).slots(kind).len()).sum();
    let pools = instance.cost.pools().len();
    let mut best = placed;
    let mut board = Board::with(instance.cost, &best);
    let mut state = state(&board);
    while state.busiest > bound * (1.0 + 1e-9) && !stop() {
        let apart = choose(instance, &board, &best, &mut random);
        let mut items: Vec<usize> = apart.iter().flat_map(|&g| best[g].items.iter().copied()).collect();
        items.sort_unstable();
        // The boards cost as much as a sequence each.
        let Some(left) = work.checked_sub((items.len() + 2) * (best.len() + slots)) else { break };
        work = left;
        let mut changed: Vec<Placed> =
            best.iter().enumerate().filter(|(g, _)| !apart.contains(g)).map(|(_, p)| p.clone()).collect();
        let mut next = Board::with(instance.cost, &changed);
        let makespan = bound + (state.busiest - bound) * (0.5 + 0.5 * random.f64());
        let prices = (0..pools).map(|_| (SPREAD * (random.f64() - 0.5)).exp()).collect();
        let taste = Taste { thrift: random.f64(), prices };
        if insert(instance, &mut next, &mut changed, items.into_iter(), makespan, &taste) {
            let then = self::state(&next);
            if then.better_than(&state) {
                (best, board, state) = (changed, next, then);
            }
        }
    }
    best
}

/// How good it is.
struct State {
    busiest: f64,
    /// Σ busy^[`POWER`], in units of the first busiest's.
    sum: f64,
}

fn state(board: &Board<'_>) -> State {
    let busiest = board.busy().iter().copied().fold(0.0, f64::max);
    State { busiest, sum: board.busy().iter().map(|busy| (busy * 1e-3).powi(POWER)).sum() }
}

impl State {
    fn better_than(&self, other: &Self) -> bool {
        self.busiest <= other.busiest && self.sum < other.sum * (1.0 - 1e-9)
    }
}

/// Groups to be taken apart: one of the busiest rank or of any, and others, half of them with which it shares ranks.
fn choose(instance: &Instance<'_>, board: &Board<'_>, placed: &[Placed], random: &mut fastrand::Rng) -> Vec<usize> {
    let ranks = |p: &Placed| {
        let first = board.slots(p.kind)[p.slot].first;
        first..first + instance.kinds()[p.kind].degree.0
    };
    let busiest = board.busy().iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |b| b.0 as u32);
    let rank = if random.u8(..10) < BUSIEST { busiest } else { random.u32(..instance.cost.world()) };
    let mut near: Vec<usize> = (0..placed.len()).filter(|&g| ranks(&placed[g]).contains(&rank)).collect();
    let mut far: Vec<usize> = (0..placed.len()).filter(|&g| !ranks(&placed[g]).contains(&rank)).collect();
    random.shuffle(&mut near);
    random.shuffle(&mut far);
    let count = random.usize(1..=MOST);
    let of_near = random.usize(1..=count);
    near.into_iter().take(of_near).chain(far.into_iter().take(count - of_near)).collect()
}
