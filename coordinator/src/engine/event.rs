//! What can happen.

use super::NodeWish;
use crate::{
    model::{Disk, Inventory, Precedence, Project, SessionId},
    placement::Decision,
};
use braid_telemetry::trace::TraceContext;
use braid_workload::{AttemptId, JobId, LeaseId, NodeId, TaskId, TaskOutcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Names a question so that its answer finds whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplyId(pub u64);

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A client wants a job.
    Submit {
        /// Who asks.
        reply: ReplyId,
        /// The word of its workload.
        kind: String,
        /// The workload's own description.
        spec: Value,
        /// The client's key against doubling.
        request_id: String,
        /// How it is to stand among others.
        precedence: Precedence,
        /// Where this stands in a trace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceContext>,
    },
    /// A client wants a job to end.
    Cancel {
        /// Who asks.
        reply: ReplyId,
        /// Which.
        job: JobId,
    },
    /// An operator wants something of a node.
    ChangeNode {
        /// Who asks.
        reply: ReplyId,
        /// Which.
        node: NodeId,
        /// What.
        wish: NodeWish,
    },
    /// An operator says something about a project.
    SetProject {
        /// Who asks.
        reply: ReplyId,
        /// Which.
        name: String,
        /// All that is said about it from now on.
        project: Project,
    },
    /// A worker opened a stream. Its token and version have been checked.
    Hello {
        /// The stream.
        session: SessionId,
        /// The worker's node.
        node: NodeId,
        /// What it offers.
        inventory: Inventory,
        /// What it has of earlier sessions.
        held: Vec<Held>,
    },
    /// A stream ended.
    Disconnected {
        /// Which.
        session: SessionId,
    },
    /// A worker is alive.
    KeepAlive {
        /// Its stream.
        session: SessionId,
        /// How far its tasks are.
        progress: Vec<TaskProgress>,
    },
    /// A worker says what is left of its disks.
    Disks {
        /// Its stream.
        session: SessionId,
        /// All of them, as they are now.
        disks: Vec<Disk>,
    },
    /// A worker hands over a result.
    Finished {
        /// Its stream.
        session: SessionId,
        /// The result.
        report: Report,
    },
    /// Placement has decided.
    Placed(Decision),
    /// This coordinator has stood still and has heard nobody meanwhile.
    Awoke,
    /// Time passed.
    Tick,
}

/// An attempt that a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// The lease under which it was given away.
    pub lease: LeaseId,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Of which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// Bytes read and written.
    pub done: u64,
    /// Bytes kept from an earlier run.
    pub reused: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The node whose worker says so: nobody ends what another has, whatever numbers it guesses.
    pub node: NodeId,
    /// Which attempt, with its fence.
    pub held: Held,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// How long it ran.
    pub ran: Duration,
    /// Bytes read and written.
    pub done: u64,
    /// Bytes kept from an earlier run.
    pub reused: u64,
}
