//! Which ranks a group gets: in each pool by descending degree, whole nodes first, and never over a node's edge within.
//!
//! With powers of two and nodes of a power of two, descending order alone keeps every group aligned to its own size, so
//! that each rank belongs to at most log₂ N + 1 different groups. Otherwise groups inside nodes are packed first-fit.

use super::cost::PoolShape;
use super::{CostModel, Degree, Rank};

/// The first rank of each of `groups` (pool and degree), in the same order; none if they do not fit.
pub(crate) fn place(cost: &CostModel, groups: &[(usize, Degree)]) -> Option<Vec<Rank>> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&g| (groups[g].0, std::cmp::Reverse(groups[g].1)));
    let mut first = vec![Rank(0); groups.len()];
    for (index, pool) in cost.pools().iter().enumerate() {
        let mut nodes = Nodes::new(pool);
        for &g in order.iter().filter(|&&g| groups[g].0 == index) {
            first[g] = Rank(pool.first_rank.0 + nodes.take(groups[g].1.0)?);
        }
    }
    Some(first)
}

/// Whether groups of these degrees fit into a pool.
pub(crate) fn fits(pool: &PoolShape, degrees: impl Iterator<Item = u32>) -> bool {
    if pool.gpus_per_node.is_power_of_two() {
        let (mut sum, mut powers) = (0, true);
        let mut kept = Vec::new();
        for d in degrees {
            sum += d;
            powers &= d.is_power_of_two();
            kept.push(d);
        }
        return sum <= pool.gpus && (powers || fits_by_nodes(pool, kept));
    }
    fits_by_nodes(pool, degrees.collect())
}

/// Whether the groups of these kinds fit into their pools.
pub(crate) fn fits_all(cost: &CostModel, kinds: impl Iterator<Item = usize> + Clone) -> bool {
    cost.pools()
        .iter()
        .enumerate()
        .all(|(pool, shape)| fits(shape, kinds.clone().map(|k| &cost.kinds()[k]).filter(|k| k.pool == pool).map(|k| k.degree.0)))
}

fn fits_by_nodes(pool: &PoolShape, mut degrees: Vec<u32>) -> bool {
    degrees.sort_unstable_by_key(|&d| std::cmp::Reverse(d));
    let mut nodes = Nodes::new(pool);
    degrees.into_iter().all(|d| nodes.take(d).is_some())
}

/// How much of each node is taken; filled from the front.
struct Nodes {
    per_node: u32,
    used: Vec<u32>,
}

impl Nodes {
    fn new(pool: &PoolShape) -> Self {
        Self { per_node: pool.gpus_per_node, used: vec![0; (pool.gpus / pool.gpus_per_node) as usize] }
    }

    /// Takes `degree` GPUs and says where they begin. Calls come in descending order of degree.
    fn take(&mut self, degree: u32) -> Option<u32> {
        if degree >= self.per_node {
            let nodes = degree.div_ceil(self.per_node) as usize;
            let start = self.used.iter().position(|&u| u == 0)?;
            let range = self.used.get_mut(start..start + nodes)?;
            range.fill(self.per_node);
            return Some(start as u32 * self.per_node);
        }
        let node = self.used.iter().position(|&u| u + degree <= self.per_node)?;
        let start = self.used[node];
        self.used[node] += degree;
        Some(node as u32 * self.per_node + start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::{Cluster, Degrees, ModelProfile, Tokens};

    fn cost(nodes: u32, per_node: u32, degrees: Degrees) -> CostModel {
        let mut cluster = Cluster::built_in("a100x64").unwrap();
        cluster.pools[0].nodes = nodes;
        cluster.pools[0].gpus_per_node = per_node;
        CostModel::new(&cluster, &ModelProfile::built_in("gpt-7b").unwrap(), Tokens(4_000), degrees).unwrap()
    }

    fn starts(cost: &CostModel, degrees: &[u32]) -> Option<Vec<u32>> {
        let groups: Vec<_> = degrees.iter().map(|&d| (0, Degree(d))).collect();
        assert_eq!(fits(&cost.pools()[0], degrees.iter().copied()), place(cost, &groups).is_some());
        Some(place(cost, &groups)?.into_iter().map(|r| r.0).collect())
    }

    #[test]
    fn groups_are_aligned_to_their_degree() {
        let cost = cost(8, 8, Degrees::PowersOfTwo);
        let degrees = [1, 32, 4, 2, 16, 8, 1];
        let starts = starts(&cost, &degrees).unwrap();
        assert_eq!(starts, [62, 0, 56, 60, 32, 48, 63]);
        assert!(starts.iter().zip(degrees).all(|(s, d)| s % d == 0));
        assert_eq!(place(&cost, &[(0, Degree(64)), (0, Degree(1))]), None);
    }

    #[test]
    fn a_group_inside_a_node_never_crosses_its_edge() {
        let cost = cost(3, 6, Degrees::Any);
        assert_eq!(starts(&cost, &[4, 4, 4, 2, 2, 2]), Some(vec![0, 6, 12, 4, 10, 16]));
        assert_eq!(starts(&cost, &[12, 5, 1]), Some(vec![0, 12, 17]));
        assert_eq!(starts(&cost, &[4, 4, 4, 3, 3]), None);
    }
}
