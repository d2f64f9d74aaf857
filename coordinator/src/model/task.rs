//! One task.
//!
//! ```text
//!              placed                     result, fenced
//!   Waiting ────────────▶ Assigned ────────────────────────▶ Done
//!      ▲                     │ │
//!      │ lost, or a failure  │ │ fatal failure,
//!      └─────────────────────┘ │ or too many tries
//!                              └──────────────────────────▶ Failed
//! ```
//! A member of a gang stays `Assigned` until all members have ended well; one that fails or is lost takes the others back with
//! it. Every arrow into `Assigned` raises the attempt number, and it is durable before the worker hears of it. When the job
//! ends early, tasks that wait are `Cancelled` at once and assigned ones when their worker has let go of them.

use super::Millis;
use braid_workload::{AttemptId, Demand, Failure, Input, LeaseId, NodeId, Space, TaskSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A task and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// What it is, as the workload made it.
    pub spec: TaskSpec,
    /// Where it stands.
    pub phase: TaskPhase,
    /// The newest try; zero before the first.
    pub attempt: AttemptId,
    /// Tries that ended in a failure which another try may mend.
    pub failures: u32,
    /// Tries whose worker was lost.
    pub losses: u32,
    /// Why the last failed try failed.
    pub last_failure: Option<Failure>,
    /// Bytes that the running try reports; not stored.
    pub done: u64,
    /// Bytes that the running try kept from an earlier run; not stored.
    pub reused: u64,
    /// The value of a gang's member that has ended, until all have; not stored, as the worker keeps it so long.
    pub reported: Option<Value>,
    /// The running try was told to stop, to make room for another job; not stored.
    pub stopping: bool,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// For a worker.
    Waiting,
    /// A worker has it.
    Assigned(Assignment),
    /// Its result is in.
    Done,
    /// It will not be tried again.
    Failed,
    /// The job ended without it.
    Cancelled,
}

/// Who has a task. Together with the attempt this fences its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Where it runs.
    pub node: NodeId,
    /// The lease under which it was given away.
    pub lease: LeaseId,
    /// When.
    pub since: Millis,
}

/// Tasks that placement need not tell apart: a demand without its bytes and its rank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// Whether they spread over all threads of a worker.
    pub wide: bool,
    /// Bytes of memory that each needs.
    pub memory: u64,
    /// How many of them start together; 1 for a task on its own.
    pub gang: u32,
    /// Threads that each takes, if not all; at least 1.
    pub threads: u32,
    /// GPUs that each has for itself.
    pub gpus: u32,
    /// What the kind of the GPUs must contain.
    pub gpu_kind: Option<String>,
    /// What the node must be labelled.
    pub labels: BTreeMap<String, String>,
    /// What each reads that a node may have at hand.
    pub inputs: Vec<Input>,
    /// What each writes on its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Space>,
}

impl Default for Class {
    /// A task on its own, of one thread, that asks for nothing.
    fn default() -> Self {
        Self::from(&Demand::default())
    }
}

impl Task {
    /// A task that has not been tried.
    pub fn new(spec: TaskSpec) -> Self {
        Self {
            spec,
            phase: TaskPhase::Waiting,
            attempt: AttemptId::default(),
            failures: 0,
            losses: 0,
            last_failure: None,
            done: 0,
            reused: 0,
            reported: None,
            stopping: false,
        }
    }

    /// Who has it, if somebody has.
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.phase {
            TaskPhase::Assigned(assignment) => Some(assignment),
            _ => None,
        }
    }

    /// Whether a result with this attempt and lease is the one that counts.
    pub fn accepts(&self, attempt: AttemptId, lease: LeaseId) -> bool {
        self.attempt == attempt && self.assignment().is_some_and(|assignment| assignment.lease == lease)
    }

    /// The same, when it comes from this node.
    pub fn accepts_from(&self, node: &NodeId, attempt: AttemptId, lease: LeaseId) -> bool {
        self.accepts(attempt, lease) && self.assignment().is_some_and(|assignment| assignment.node == *node)
    }
}

impl From<&Demand> for Class {
    fn from(demand: &Demand) -> Self {
        Self {
            wide: demand.wide,
            memory: demand.memory,
            gang: demand.gang.map_or(1, |member| member.size),
            threads: demand.threads.max(1),
            gpus: demand.gpus,
            gpu_kind: demand.gpu_kind.clone(),
            labels: demand.labels.clone(),
            inputs: demand.inputs.clone(),
            disk: demand.disk.as_deref().cloned(),
        }
    }
}
