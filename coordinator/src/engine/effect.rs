//! What must be done about it.

use super::{Held, ReplyId};
use crate::model::{Change, Precedence, SessionId};
use braid_telemetry::trace::TraceContext;
use braid_workload::{AttemptId, Demand, Gang, JobId, LeaseId, NodeId, SpecError, TaskId};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Something to do. Whatever follows a write waits until the write is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Change the store with records that mean nothing until a later write points to them. They go first, and may take
    /// several transactions.
    Prepare(Change),
    /// Change the store. The first hundred of a step take effect together.
    Write(Change),
    /// Answer a client.
    Answer {
        /// Who asked.
        reply: ReplyId,
        /// The job, or why not.
        result: Result<JobId, Refusal>,
    },
    /// Answer an operator.
    Confirm {
        /// Who asked.
        reply: ReplyId,
        /// Done, or why not.
        result: Result<(), Refusal>,
    },
    /// Tell a worker.
    Send {
        /// Its stream.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// End a stream.
    Close {
        /// Which.
        session: SessionId,
        /// For the worker's log.
        reason: &'static str,
    },
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// It is registered.
    Welcome {
        /// Its right to tasks.
        lease: LeaseId,
        /// How long it may be silent.
        patience: Duration,
        /// What it holds and must forget.
        drop: Vec<Held>,
    },
    /// Run this.
    Run(Box<Run>),
    /// Stop this.
    Stop {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: AttemptId,
    },
    /// Its result is taken, or no longer wanted.
    Taken {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: AttemptId,
    },
}

/// An attempt for a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which attempt, with its fence.
    pub held: Held,
    /// The word of its workload.
    pub kind: String,
    /// The job's spec.
    pub spec: Arc<Value>,
    /// For people.
    pub label: String,
    /// The task's own description.
    pub payload: Value,
    /// What it needs.
    pub demand: Demand,
    /// With whom it runs, if it is in a gang.
    pub gang: Option<Gang>,
    /// In whose name it runs: it decides what the attempt may use.
    pub precedence: Precedence,
    /// Where its decision stands in the trace of its job.
    pub trace: Option<TraceContext>,
}

/// Why a wish is not granted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such workload.
    #[error("no kind of job is called `{kind}` (this coordinator knows {known})")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: String,
    },
    /// The workload does not understand the spec.
    #[error(transparent)]
    BadSpec(#[from] SpecError),
    /// A part of the job exceeds what the store takes.
    #[error("the {what} of the job has {bytes} bytes, and a record holds at most {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A part of the job is nested deeper than a record may be, whose reader has a limit.
    #[error("the {what} is nested deeper than {limit} levels")]
    TooDeep {
        /// Which part.
        what: &'static str,
        /// The most there may be.
        limit: usize,
    },
    /// A workload made a gang whose members do not follow each other, from the first to the last, alike.
    #[error("task {index} of the job is in a gang that is not whole: its members must follow each other, with one demand")]
    HalfGang {
        /// Which task.
        index: usize,
    },
    /// Another job has what this one wants for itself.
    #[error("job {holder} is not over yet and holds {name}")]
    Held {
        /// What both want.
        name: String,
        /// Who has it.
        holder: JobId,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The newest job was asked for before there was any.
    #[error("there is no job yet")]
    NoJobYet,
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    /// A project that cannot be.
    #[error("project `{name}`: {problem}")]
    BadProject {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Labels that cannot be.
    #[error("labels of node {node}: {problem}")]
    BadLabel {
        /// Of which node.
        node: NodeId,
        /// What is wrong with them.
        problem: String,
    },
    /// The job is over.
    #[error("job {0} is over")]
    Over(JobId),
}
