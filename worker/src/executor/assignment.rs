//! What the executor is given to run, and what comes back.

use super::Key;
use braid_telemetry::trace::TraceContext;
use braid_workload::{Demand, Failure, Gang, LogSource, Roots, TaskId};
use serde_json::Value;
use std::sync::Arc;
use std::{sync::OnceLock, time::Duration};

/// An attempt to run. Its JSON is still text: a compute thread reads it, so that the session stays quick.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// Which attempt.
    pub(crate) key: Key,
    /// The kind of its job.
    pub(crate) kind: String,
    /// What its job says.
    pub(crate) spec: Arc<JobSpec>,
    /// The task's name for people.
    pub(crate) label: String,
    /// The task's own description, as JSON.
    pub(crate) payload: String,
    /// What it asks for.
    pub(crate) demand: Demand,
    /// With whom it runs, if it is in a gang.
    pub(crate) gang: Option<Gang>,
    /// What its job may use, where that is not what everybody's may.
    pub(crate) roots: Option<Arc<Roots>>,
    /// Where its decision stands in a trace.
    pub(crate) trace: Option<TraceContext>,
}

/// The spec of a job, shared by the attempts of its tasks and read once.
#[derive(Debug)]
pub(crate) struct JobSpec {
    text: String,
    value: OnceLock<Result<Value, String>>,
}

/// What compute threads tell the session.
#[derive(Debug)]
pub(crate) enum Report {
    /// An attempt has ended.
    Ended(Ended),
    /// A task says something to people.
    Line(Line),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Which attempt.
    pub(crate) key: Key,
    /// Its value as JSON of at most [`MAX_RECORD`](braid_workload::MAX_RECORD) bytes, or why there is none.
    pub(crate) outcome: Result<String, Failure>,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// How far it came.
    pub(crate) progress: Bytes,
}

/// Bytes that an attempt has read and written, and that it could keep from an earlier run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) done: u64,
    pub(crate) reused: u64,
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The task that says it.
    pub(crate) task: TaskId,
    /// Its text, bounded.
    pub(crate) text: String,
    /// When, in milliseconds since 1970.
    pub(crate) unix_millis: u64,
    /// Who says it.
    pub(crate) source: LogSource,
}

impl JobSpec {
    /// A spec not yet read.
    pub(crate) fn new(text: String) -> Self {
        Self { text, value: OnceLock::new() }
    }

    /// As it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Read, or what is wrong with it.
    pub(crate) fn value(&self) -> Result<&Value, &str> {
        let read = || serde_json::from_str(&self.text).map_err(|error| error.to_string());
        self.value.get_or_init(read).as_ref().map_err(String::as_str)
    }
}

impl Ended {
    /// An attempt that ended before it ran.
    pub(crate) fn unstarted(key: Key, failure: Failure) -> Self {
        Self { key, outcome: Err(failure), ran: Duration::ZERO, progress: Bytes::default() }
    }
}
