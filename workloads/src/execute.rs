//! The doing half of a kind of job.

use crate::{Failure, Reach, TaskContext, TaskSpec};
use serde_json::Value;

/// Runs tasks of one kind on a worker.
///
/// `run` is called on a compute thread of the worker and may block. Two attempts of one task may run at the same time
/// on two machines (the first was taken for lost and is not): what a task writes must not depend on which of them ends
/// first. In practice both write the same bytes to the same place.
pub trait Execute: Send + Sync {
    /// The word that names this kind in a job.
    fn kind(&self) -> &'static str;

    /// The paths that tasks of this spec use on this machine, for a worker that bounds them. Any path, unless the kind says
    /// otherwise.
    ///
    /// # Errors
    /// A [`Failure`] when that cannot be told.
    fn reach(&self, _spec: &Value) -> Result<Reach, Failure> {
        Ok(Reach::Anything)
    }

    /// Does the work and returns the value that [`Workload::advance`](crate::Workload::advance) receives.
    ///
    /// # Errors
    /// A [`Failure`] that says whether another try may help. A panic counts as [`Failure::fatal`].
    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure>;
}
