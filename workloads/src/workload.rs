//! The deciding half of a kind of job.

use crate::{Failure, JobResult, Reach, TaskSpec};
use serde_json::Value;

/// Decides what the tasks of one kind of job are. Called by the coordinator inside its engine.
///
/// Every method is a pure function of its arguments: the coordinator calls it again after a restart and replays it in
/// tests. What needs a file, a clock or a device is a task.
pub trait Workload: Send + Sync {
    /// The word that names this kind in a job: `merge`.
    fn kind(&self) -> &'static str;

    /// Checks a spec and makes the first tasks.
    ///
    /// # Errors
    /// [`SpecError`] when the spec is not one of this kind; the job is refused.
    fn plan(&self, spec: &Value) -> Result<Plan, SpecError>;

    /// The paths that a job of this spec uses, for a coordinator whose policy bounds them: every place where something may
    /// be looked for. Any path, unless the kind says otherwise.
    ///
    /// # Errors
    /// [`SpecError`] when the spec is not one of this kind.
    fn reach(&self, _spec: &Value) -> Result<Reach, SpecError> {
        Ok(Reach::Anything)
    }

    /// Takes in the value with which the task `finished` ended; `open` other tasks of the job are not done yet.
    ///
    /// Called once for each task, in the order in which results become durable. A job that has no open task and is
    /// given no more must end here: `Continue` without tasks and with `open == 0` fails the job.
    ///
    /// # Errors
    /// [`SpecError`] when the value is not what a task of this kind returns; the job fails.
    fn advance(&self, spec: &Value, state: &Value, finished: &TaskSpec, value: &Value, open: usize)
    -> Result<Advance, SpecError>;

    /// Whether a task that is stopped loses little: it goes on from what it has written. Such tasks may be stopped to make room
    /// for a job of a higher priority.
    fn is_resumable(&self, _spec: &Value) -> bool {
        false
    }

    /// How often a task is tried again that failed in a way that another try may mend; `usual` unless the kind says otherwise.
    /// What one member of a gang fails at counts for the gang.
    fn retries(&self, _spec: &Value, usual: u32) -> u32 {
        usual
    }

    /// Takes in that a task of no gang has failed for good; `open` other tasks are not done yet. `None`, unless the kind says
    /// otherwise: so has the job. `Continue` without tasks and with `open == 0` fails the job.
    fn failed(&self, _spec: &Value, _state: &Value, _task: &TaskSpec, _failure: &Failure, _open: usize) -> Option<Advance> {
        None
    }
}

/// The start of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What a person sees in a list of jobs: `ties of 4 checkpoints -> out`.
    pub label: String,
    /// A name that only one unfinished job may hold, such as the folder it writes.
    pub exclusive: Option<String>,
    /// The workload's own state, given back to [`Workload::advance`]. At most [`MAX_RECORD`](crate::MAX_RECORD) bytes.
    pub state: Value,
    /// At least one task.
    pub tasks: Vec<TaskSpec>,
}

/// What follows from the end of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Advance {
    /// The job goes on.
    Continue {
        /// The new state, or `None` where nothing changed (which saves a write).
        state: Option<Value>,
        /// Tasks to run beside those that are open.
        tasks: Vec<TaskSpec>,
    },
    /// The job is done; open tasks are cancelled.
    Finished(JobResult),
    /// The job has failed; open tasks are cancelled.
    Failed(Failure),
}

/// A spec, state or value that this kind of job cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} job: {message}")]
pub struct SpecError {
    /// The kind of job.
    pub kind: &'static str,
    /// What was expected and what came.
    pub message: String,
}
