//! What a cluster is to the planner: pools of equal nodes, their memory, and how fast their GPUs exchange.
//!
//! Ranks are numbered pool after pool, node after node, in the order of the file. A group never crosses pools.

use super::profile_file;
use crate::SequenceError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most GPUs that a cluster may have.
pub const MAX_GPUS: u32 = 1 << 16;

/// A cluster, as its YAML file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its nodes, equal ones together; ranks follow this order.
    pub pools: Vec<Pool>,
    /// How fast the GPUs of a group exchange all with all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_to_all: Option<Exchange>,
    /// How fast the GPUs of a group gather from all (memory states of linear layers); needed by models that have such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_gather: Option<Exchange>,
    /// Instead of both: what all exchange costs a group of each degree, as measured for one model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub charges: BTreeMap<u32, Charge>,
}

/// Equal nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The class of GPU, by which a model's file gives its speed; one pool a class.
    pub class: String,
    /// How many nodes.
    pub nodes: u32,
    /// How many GPUs in each.
    pub gpus_per_node: u32,
    /// Memory that a job may use on each GPU, in GiB.
    pub memory_gib: f64,
}

impl Pool {
    /// How many GPUs it has.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        self.nodes * self.gpus_per_node
    }
}

/// The speed of a collective by the number of GPUs that take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Bandwidth of each GPU in GB/s by degree; interpolated between (log-log), level outside.
    pub gb_per_s: BTreeMap<u32, f64>,
    /// What one exchange costs apart from its bytes (β2 of FlexSP's eq. 13 for all_to_all), in milliseconds.
    #[serde(default)]
    pub latency_ms: f64,
}

/// What exchange costs a group, whatever it consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// Milliseconds for each token of the group.
    pub per_token_ms: f64,
    /// Milliseconds for the group, whatever it holds.
    pub per_group_ms: f64,
}

impl Exchange {
    /// Bandwidth at `degree`, in GB/s; follows FlexSP's code in taking 1 GB/s for 1 MiB/ms.
    #[must_use]
    pub fn bandwidth(&self, degree: u32) -> f64 {
        let below = self.gb_per_s.range(..=degree).next_back();
        let above = self.gb_per_s.range(degree..).next();
        match (below, above) {
            (Some((&d0, &v0)), Some((&d1, &v1))) if d0 < d1 => {
                let ln = |d: u32| f64::from(d).ln();
                let share = (ln(degree) - ln(d0)) / (ln(d1) - ln(d0));
                (v0.ln() * (1.0 - share) + v1.ln() * share).exp()
            }
            (Some((_, &v)), _) | (None, Some((_, &v))) => v,
            (None, None) => f64::INFINITY,
        }
    }

    fn check(&self, what: &str) -> Result<(), String> {
        if self.gb_per_s.is_empty() {
            return Err(format!("{what}.gb_per_s is empty; give a bandwidth for one degree at least"));
        }
        if let Some((degree, v)) = self.gb_per_s.iter().find(|(d, v)| **d == 0 || !positive(**v)) {
            return Err(format!("{what}.gb_per_s: {degree}: {v}; both must be above 0"));
        }
        if !(self.latency_ms.is_finite() && self.latency_ms >= 0.0) {
            return Err(format!("{what}.latency_ms is {}; expected 0 or more", self.latency_ms));
        }
        Ok(())
    }
}

impl Cluster {
    /// The names of the built-in clusters.
    pub const BUILT_IN: &[&str] = &["a100x64"];

    /// A built-in cluster by name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn built_in(name: &str) -> Result<Self, SequenceError> {
        match name {
            "a100x64" => Self::parse(name, include_str!("../../profiles/a100x64.yml")),
            _ => Err(profile_file::unknown("cluster", name, Self::BUILT_IN)),
        }
    }

    /// Reads a cluster from the `text` of the file `name`.
    ///
    /// # Errors
    /// The text is no YAML, has keys that are not known, or figures that cannot be.
    pub fn parse(name: &str, text: &str) -> Result<Self, SequenceError> {
        profile_file::parse(name, text, Self::check)
    }

    /// How many GPUs it has.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        self.pools.iter().map(Pool::gpus).sum()
    }

    /// What was measured for groups of `degree`: in proportion between two degrees, level outside; none if nothing was.
    #[must_use]
    pub fn charge(&self, degree: u32) -> Option<Charge> {
        let below = self.charges.range(..=degree).next_back();
        let above = self.charges.range(degree..).next();
        match (below, above) {
            (Some((&d0, a)), Some((&d1, b))) if d0 < d1 => {
                let share = f64::from(degree - d0) / f64::from(d1 - d0);
                let between = |a: f64, b: f64| a + (b - a) * share;
                Some(Charge {
                    per_token_ms: between(a.per_token_ms, b.per_token_ms),
                    per_group_ms: between(a.per_group_ms, b.per_group_ms),
                })
            }
            (Some((_, &charge)), _) | (None, Some((_, &charge))) => Some(charge),
            (None, None) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.pools.is_empty() {
            return Err("pools is empty; a cluster has at least one pool of nodes".into());
        }
        let mut all = 0u64;
        for (i, pool) in self.pools.iter().enumerate() {
            let Pool { class, nodes, gpus_per_node, memory_gib } = pool;
            if *nodes == 0 || *gpus_per_node == 0 {
                return Err(format!("pool {class}: nodes and gpus_per_node must be 1 or more"));
            }
            if !positive(*memory_gib) {
                return Err(format!("pool {class}: memory_gib is {memory_gib}; expected a number above 0"));
            }
            if self.pools[..i].iter().any(|p| p.class == *class) {
                return Err(format!("class {class} has two pools; write its nodes as one, or name the classes apart"));
            }
            all += u64::from(*nodes) * u64::from(*gpus_per_node);
        }
        if all > u64::from(MAX_GPUS) {
            return Err(format!("{all} GPUs are more than a plan can be made for ({MAX_GPUS})"));
        }
        let from_zero = |x: f64| x.is_finite() && x >= 0.0;
        for (degree, Charge { per_token_ms, per_group_ms }) in &self.charges {
            if *degree < 2 || !from_zero(*per_token_ms) || !from_zero(*per_group_ms) {
                return Err(format!("charges: {degree}: groups have 2 GPUs or more, and times are 0 or more"));
            }
        }
        if self.all_to_all.is_none() && self.charges.is_empty() {
            return Err("it needs all_to_all with gb_per_s, or charges that were measured".into());
        }
        self.all_to_all.as_ref().map_or(Ok(()), |e| e.check("all_to_all"))?;
        self.all_gather.as_ref().map_or(Ok(()), |e| e.check("all_gather"))
    }
}

fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_cluster_reads() {
        let cluster = Cluster::built_in("a100x64").unwrap();
        assert_eq!(cluster.gpus(), 64);
        assert!(Cluster::built_in("h100").unwrap_err().to_string().contains("a100x64"));
    }

    #[test]
    fn bandwidth_is_interpolated_between_and_level_outside() {
        let e = Exchange { gb_per_s: [(2, 100.0), (8, 25.0)].into(), latency_ms: 0.0 };
        assert_eq!(e.bandwidth(2), 100.0);
        assert!((e.bandwidth(4) - 50.0).abs() < 1e-9);
        assert_eq!((e.bandwidth(1), e.bandwidth(64)), (100.0, 25.0));
    }

    #[test]
    fn measured_charges_are_interpolated_between_and_level_outside() {
        let mut cluster = Cluster::built_in("a100x64").unwrap();
        assert_eq!(cluster.charge(2), None);
        let charge = |per_token_ms, per_group_ms| Charge { per_token_ms, per_group_ms };
        cluster.charges = [(2, charge(1.0, 0.0)), (4, charge(0.5, 3.0))].into();
        assert_eq!(
            [2, 3, 4, 8].map(|d| cluster.charge(d).unwrap()),
            [(1.0, 0.0), (0.75, 1.5), (0.5, 3.0), (0.5, 3.0)].map(|(t, g)| charge(t, g))
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        let good = include_str!("../../profiles/a100x64.yml");
        for (from, to, said) in [
            ("nodes: 8", "nodes: 0", "pool a100-40g"),
            ("memory_gib: 30", "memory_gib: -1", "memory_gib is -1"),
            ("nodes: 8", "nodez: 8", "nodez"),
            ("2: 119.54", "2: 0", "above 0"),
            ("nodes: 8", "nodes: 80000", "640000 GPUs"),
            ("nodes: 8", "nodes: eight", "line 6"),
            ("all_to_all:", "all_gather:", "needs all_to_all"),
            ("all_to_all:", "charges: { 2: { per_token_ms: -1, per_group_ms: 0 } }\nall_to_all:", "charges: 2"),
        ] {
            let error = Cluster::parse("c.yml", &good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said) && error.starts_with("c.yml"), "{error}");
        }
    }
}
