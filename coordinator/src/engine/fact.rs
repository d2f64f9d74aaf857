//! What happened, for those who count. Nothing depends on it: it is neither stored nor repeated after a restart.

use crate::model::{Job, JobEnd, Millis};
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A new job was accepted.
    Submitted {
        /// Its kind.
        kind: String,
    },
    /// A worker was given the first task of a job.
    Began {
        /// The job's kind.
        kind: String,
        /// Since it was submitted.
        waited: Duration,
    },
    /// A worker was given an attempt.
    Started {
        /// The job's kind.
        kind: String,
    },
    /// An attempt ended.
    Ended {
        /// The job's kind.
        kind: String,
        /// How.
        end: AttemptEnd,
        /// What its worker reported; `None` where the worker is lost.
        figures: Option<Figures>,
    },
    /// A result came that another attempt or lease has taken the place of.
    Stale,
    /// A node was given up: it was silent for its lease.
    LeaseLost,
    /// A job is over.
    Over {
        /// Its kind.
        kind: String,
        /// How it ended.
        end: JobEnd,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a result.
    Done,
    /// With a failure that ends its job.
    Failed,
    /// With a failure after which it is tried again.
    Retried,
    /// It was stopped, or handed back.
    Cancelled,
    /// With its worker.
    Lost,
}

/// What a worker reports of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// How long it ran.
    pub ran: Duration,
    /// Bytes read and written.
    pub done: u64,
    /// Bytes kept from an earlier run.
    pub reused: u64,
}

/// Notes that a task of a job was given to a worker, and whether it was the first.
pub(super) fn started(job: &mut Job, now: Millis, facts: &mut Vec<Fact>) {
    if !std::mem::replace(&mut job.begun, true) {
        facts.push(Fact::Began { kind: job.kind.clone(), waited: now.since(job.submitted) });
    }
    facts.push(Fact::Started { kind: job.kind.clone() });
}
