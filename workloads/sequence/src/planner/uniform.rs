//! Another way to cut a batch: into micro-batches that groups of one degree would fill, best-fit packed and sorted by time.
//!
//! Where sequences are so long that memory decides how many groups there are, lengths that are alike leave GPUs idle, and packing
//! mixed lengths does not. Only the division is taken; what the groups are is planned as for any other.

use super::{CostModel, GroupKind, Load};
use std::ops::Range;

/// How full bins may be: to the brim, and with room to even out.
const FILL: [f64; 2] = [1.0, 0.9];

/// The division by the degree that would be fastest: an order of the descending `lengths`, and the micro-batches in it. None where
/// no single degree holds all, or the cluster has several pools.
pub(crate) fn divide(lengths: &[u64], cost: &CostModel) -> Option<(Vec<usize>, Vec<Range<usize>>)> {
    let [pool] = cost.pools() else { return None };
    let each = cost.kinds().iter().flat_map(|kind| FILL.map(|fill| (kind, fill)));
    let each = each.filter_map(|(kind, fill)| {
        let mut bins = pack(lengths, (kind.capacity as f64 * fill) as u64)?;
        bins.sort_by(|a, b| time(kind, lengths, b).total_cmp(&time(kind, lengths, a)));
        let groups = (pool.gpus / kind.degree.0) as usize;
        let total = bins.chunks(groups).map(|micro_batch| time(kind, lengths, &micro_batch[0])).sum::<f64>();
        Some((total, groups, bins))
    });
    let (_, groups, bins) = each.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let mut order = Vec::with_capacity(lengths.len());
    let ranges = bins.chunks(groups).map(|micro_batch| {
        let start = order.len();
        order.extend(micro_batch.iter().flatten());
        // Descending lengths, as every micro-batch is planned.
        order[start..].sort_unstable();
        start..order.len()
    });
    let ranges = ranges.collect();
    Some((order, ranges))
}

/// Indices of `lengths` in bins of so many tokens, each into the fullest that has room.
fn pack(lengths: &[u64], capacity: u64) -> Option<Vec<Vec<usize>>> {
    let mut bins: Vec<(u64, Vec<usize>)> = Vec::new();
    for (index, &length) in lengths.iter().enumerate() {
        if length > capacity {
            return None;
        }
        match bins.iter_mut().filter(|bin| bin.0 + length <= capacity).max_by_key(|bin| bin.0) {
            Some(bin) => {
                bin.0 += length;
                bin.1.push(index);
            }
            None => bins.push((length, vec![index])),
        }
    }
    Some(bins.into_iter().map(|bin| bin.1).collect())
}

fn time(kind: &GroupKind, lengths: &[u64], bin: &[usize]) -> f64 {
    kind.time(bin.iter().fold(Load::default(), |load, &index| load.plus(Load::of(lengths[index])))).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::{Batch, Cluster, Degrees, ModelProfile, PlanOptions, Tokens, baseline, plan};

    #[test]
    fn a_batch_that_memory_decides_is_no_slower_than_under_one_degree() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        let cost = CostModel::new(&cluster, &model, Tokens(99_456), Degrees::PowersOfTwo).unwrap();
        let lengths: Vec<Tokens> = (0..120u64).map(|i| Tokens(300 + (i * 7919 % 120).pow(3) / 17)).collect();
        let batch = Batch::for_context(&lengths, Tokens(110_000), 64);
        let planned = plan(&batch, &cost, &PlanOptions::default()).unwrap();
        for rival in [baseline::best_static(&batch, &cost), baseline::batch_ada(&batch, &cost)] {
            let rival = rival.unwrap();
            assert!(planned.predicted_ms.0 <= rival.predicted.0, "{} against {rival:?}", planned.predicted_ms);
        }
    }

    #[test]
    fn a_division_holds_all_once() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let cost =
            CostModel::new(&cluster, &ModelProfile::built_in("gpt-7b").unwrap(), Tokens(192_000), Degrees::PowersOfTwo).unwrap();
        let lengths: Vec<u64> = (1..300).rev().map(|i| i * 128).collect();
        let (mut order, ranges) = divide(&lengths, &cost).unwrap();
        assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), lengths.len());
        order.sort_unstable();
        assert_eq!(order, (0..lengths.len()).collect::<Vec<_>>());
    }
}
