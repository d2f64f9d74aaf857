//! What runs where: from tasks that wait and nodes that have room to who gets how many of which.
//!
//! A [`Placer`] is a pure function, asked with a snapshot and answered with a [`Decision`] that carries its reasons. It
//! sees classes of tasks, not tasks: ten thousand equal tasks are one line of the problem. It does not start anything;
//! the engine checks each placement against what is true when the answer arrives.

mod explain;
mod gangs;
mod greedy;
mod guide;
mod load;
mod lp;
mod plan;
mod prior;
pub mod program;
mod remedy;
pub mod solver;
#[cfg(test)]
mod tests;
mod timing;
mod wait;
mod what_if;
mod why;

pub use explain::{Explanation, Relief, Share, explain};
pub use greedy::{Greedy, hand_out};
pub use guide::Guide;
pub(crate) use load::AHEAD;
pub use load::Load;
pub use lp::Lp;
pub use plan::{Plan, Price, plan, plan_with};
pub(crate) use prior::fill as guess_rates;
pub use remedy::{Change, Remedy};
pub use wait::{Away, Resource, Unit, Wait};
pub use what_if::{MoreNodes, MoreNodesError};

use crate::model::{Class, Inventory};
use braid_workload::{JobId, NodeId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Decides what runs where.
pub trait Placer: Send {
    /// Places as many waiting tasks as nodes have room for.
    fn place(&mut self, problem: &Problem) -> Decision;
}

/// What there is to decide.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problem {
    /// Tasks that wait, oldest job first.
    pub classes: Vec<Waiting>,
    /// Nodes that may be given tasks.
    pub nodes: Vec<Candidate>,
    /// Nodes that are known and may not be given any now.
    pub absent: Vec<Absent>,
}

/// A node that may not be given tasks now.
#[derive(Debug, Clone, PartialEq)]
pub struct Absent {
    /// Which.
    pub node: NodeId,
    /// What it offered.
    pub offer: Arc<Inventory>,
    /// Why not.
    pub why: Away,
}

/// Equal tasks of one job that wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Of which job.
    pub job: JobId,
    /// Which of its tasks.
    pub class: Class,
    /// The kind of the job.
    pub kind: String,
    /// How many wait; of gangs, how many gangs.
    pub count: u32,
    /// Bytes that one reads and writes, on average.
    pub bytes: f64,
    /// Seconds that one took so far, on average, once known.
    pub seconds: Option<f64>,
    /// Nodes that have run tasks of the job: its headers are parsed and its shards may be cached there.
    pub warm: Arc<BTreeSet<NodeId>>,
}

/// A node that may be given tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// What it offers.
    pub offer: Arc<Inventory>,
    /// What it holds already.
    pub load: Load,
    /// A gang of an older job waits for it: nothing else is to start here.
    pub reserved: bool,
    /// Bytes per second that it has managed, once known.
    pub rate: Option<f64>,
    /// The same, by the kind of job.
    pub rates: BTreeMap<String, f64>,
    /// Names of inputs that it has read lately.
    pub inputs: Arc<BTreeSet<String>>,
}

impl Default for Candidate {
    /// A node without a name that offers nothing.
    fn default() -> Self {
        Self {
            node: NodeId(String::new()),
            offer: Arc::default(),
            load: Load::default(),
            reserved: false,
            rate: None,
            rates: BTreeMap::new(),
            inputs: Arc::default(),
        }
    }
}

/// Who gets what, and why the rest waits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// In the order in which tasks should be handed out.
    pub placements: Vec<Placement>,
    /// Gangs to start, each as a whole.
    pub gangs: Vec<GangPlacement>,
    /// For each class of which nothing was placed, what stands in the way.
    pub reasons: Vec<(JobId, Wait)>,
}

/// Some tasks for a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Of which job.
    pub job: JobId,
    /// Which of its tasks.
    pub class: Class,
    /// Where to.
    pub node: NodeId,
    /// How many.
    pub count: u32,
}

/// A gang for some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GangPlacement {
    /// Of which job.
    pub job: JobId,
    /// Which of its gangs.
    pub class: Class,
    /// The node of each member, by rank.
    pub nodes: Vec<NodeId>,
}
