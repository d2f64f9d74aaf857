//! The doing half of a kind of job.

use crate::{Failure, TaskContext, TaskSpec};
use serde_json::Value;

/// Runs tasks of one kind on a worker.
///
/// `run` is called on a compute thread of the worker and may block. Two attempts of one task may run at the same time
/// on two machines (the first was taken for lost and is not): what a task writes must not depend on which of them ends
/// first. In practice both write the same bytes to the same place.
pub trait Execute: Send + Sync {
    /// The word that names this kind in a job.
    fn kind(&self) -> &'static str;

    /// Does the work and returns the value that [`Workload::advance`](crate::Workload::advance) receives.
    ///
    /// # Errors
    /// A [`Failure`] that says whether another try may help. A panic counts as [`Failure::fatal`].
    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure>;
}
