//! How a task is shown.

use super::{job::FailureView, table};
use crate::units::show_bytes;
use braid_proto::v1::{self, TaskState};
use braid_workload::TaskId;
use serde::Serialize;

/// One task.
#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    pub(super) id: String,
    label: String,
    state: &'static str,
    attempt: u32,
    node: Option<String>,
    bytes: u64,
    bytes_done: u64,
    memory: u64,
    gpus: u32,
    failure: Option<FailureView>,
}

/// The word for a state, the same in every output.
pub(crate) fn task_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::TaskWaiting => "waiting",
        TaskState::TaskAssigned => "running",
        TaskState::TaskLost => "lost",
        TaskState::TaskDone => "done",
        TaskState::TaskFailed => "failed",
        TaskState::TaskCancelled => "cancelled",
    }
}

impl From<v1::Task> for TaskView {
    fn from(task: v1::Task) -> Self {
        let demand = task.demand.clone().unwrap_or_default();
        Self {
            state: task_word(task.state()),
            id: TaskId::from(task.id.unwrap_or_default()).to_string(),
            label: task.label,
            attempt: task.attempt,
            node: task.node,
            bytes: demand.bytes,
            bytes_done: task.bytes_done,
            memory: demand.memory,
            gpus: demand.gpus,
            failure: task.failure.map(FailureView::from),
        }
    }
}

/// Tasks as columns.
pub(super) fn table(tasks: &[TaskView]) -> String {
    let rows: Vec<_> = tasks
        .iter()
        .map(|task| {
            let failure = task.failure.as_ref().map(|failure| format!(" ({})", failure.message)).unwrap_or_default();
            [
                task.id.clone(),
                task.state.to_owned(),
                task.attempt.to_string(),
                task.node.clone().unwrap_or_else(|| "-".to_owned()),
                show_bytes(task.bytes),
                format!("{}{failure}", task.label),
            ]
        })
        .collect();
    table::columns(["TASK", "STATE", "TRY", "NODE", "BYTES", "LABEL"], &rows)
}
