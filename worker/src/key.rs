//! Which attempt of which task: what everything in a worker is filed under.

use braid_workload::{AttemptId, TaskId};
use std::fmt;

/// One attempt of one task. Never used again, so it needs no lease to be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The task.
    pub(crate) task: TaskId,
    /// Which try of it.
    pub(crate) attempt: AttemptId,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (attempt {})", self.task, self.attempt)
    }
}
