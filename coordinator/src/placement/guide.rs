//! What is left of a plan while its tasks are handed out.

use super::{Candidate, Plan, Waiting};
use crate::model::Class;
use braid_workload::{JobId, NodeId};
use std::collections::BTreeMap;

/// A plan, less what was handed out since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guide {
    targets: BTreeMap<(JobId, Class), BTreeMap<NodeId, u32>>,
    makespan: f64,
}

impl From<Plan> for Guide {
    fn from(plan: Plan) -> Self {
        Self { targets: plan.targets, makespan: plan.makespan }
    }
}

impl Guide {
    /// The nodes that such tasks are meant for, if the plan knows them.
    pub(super) fn targets(&self, class: &Waiting) -> Option<&BTreeMap<NodeId, u32>> {
        self.targets.get(&(class.job, class.class.clone())).filter(|on| !on.is_empty())
    }

    /// Whether it is worth to wait for a node that is meant for such tasks: one is there, and busy. Else whoever has room takes
    /// them, plan or not: a plan never leaves a fleet idle.
    pub(super) fn holds_back<'a>(&self, class: &Waiting, nodes: &'a [Candidate]) -> Option<&'a Candidate> {
        let on = self.targets(class)?;
        let busy = |node: &&Candidate| node.load.wide.saturating_add(node.load.narrow) > 0;
        nodes.iter().filter(|node| on.contains_key(&node.node) && node.fits(class) && !node.reserved).find(busy)
    }

    /// Seconds until the plan is done.
    pub(super) fn makespan(&self) -> f64 {
        self.makespan
    }

    /// Takes note that tasks were handed out.
    pub(super) fn given(&mut self, class: &Waiting, node: &NodeId, count: u32) {
        let key = (class.job, class.class.clone());
        let Some(on) = self.targets.get_mut(&key) else { return };
        if let Some(left) = on.get_mut(node) {
            *left = left.saturating_sub(count);
        }
        on.retain(|_, left| *left > 0);
    }
}
