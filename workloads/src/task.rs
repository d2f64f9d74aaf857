//! What passes between the two halves of a kind of job, and is stored on the way.

use crate::{AttemptId, TaskId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A piece of work for one worker. At most [`MAX_RECORD`](crate::MAX_RECORD) bytes when encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// What a person sees in a list of tasks: `tensors 12..40`.
    pub label: String,
    /// The kind's own description of the work, as its [`Execute`](crate::Execute) half reads it.
    pub payload: serde_json::Value,
    /// What placement weighs.
    pub demand: Demand,
}

/// What a task asks of a worker, as placement sees it. Tasks of a job whose demands differ in nothing but the bytes and the rank
/// form one class.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// Bytes that the task reads and writes; 0 when unknown. The measure of its length.
    pub bytes: u64,
    /// Bytes of memory that the task needs at least.
    pub memory: u64,
    /// True: the task spreads over all threads of a worker, so a worker runs one at a time (and holds the next at hand).
    /// False: it takes `threads` of them.
    pub wide: bool,
    /// Threads of a task that is not wide; 0 is one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub threads: u32,
    /// GPUs that nobody else uses while the task runs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gpus: u32,
    /// What the kind of these GPUs must contain, in any case: `h100` takes an `NVIDIA H100 80GB HBM3`. `None` takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_kind: Option<String>,
    /// Labels that the node must have, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the task reads that a node may have at hand already, from an earlier task that read it. Counted in `bytes` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// What the task writes on its node. `None` where that is unknown, or too little to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Box<Space>>,
    /// Set for a member of a gang: tasks that start together or not at all, and talk to each other while they run. The
    /// members follow each other in the order of their ranks, and their results count once all of them are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<Member>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Something that tasks read, by a name that is the same for all tasks that read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Input {
    /// Its name: a path, a digest.
    pub name: String,
    /// Bytes that the task reads of it.
    pub bytes: u64,
}

/// Room for files. Tasks that ask for the same are placed together, so that a job had better name what its largest task writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Space {
    /// The folder that they go into.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
}

/// A task's place in its gang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Its number, from 0.
    pub rank: u32,
    /// How many there are.
    pub size: u32,
}

/// Who is in a gang that runs, as each member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gang {
    /// This member's number.
    pub rank: u32,
    /// Names the gang: its first task.
    pub first: TaskId,
    /// Its try, the same for all members: what is left of an earlier one is not listened to.
    pub epoch: AttemptId,
    /// Where each member's exchange listens, by rank.
    pub members: Vec<String>,
    /// What members show each other.
    pub token: String,
}

/// How a task ended on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskOutcome {
    /// It is done; the value is the kind's own and at most [`MAX_RECORD`](crate::MAX_RECORD) bytes.
    Done(serde_json::Value),
    /// It is not.
    Failed(Failure),
}

/// Why a task or a job failed, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether another try may help.
    pub kind: FailureKind,
    /// The object, the operation and what was wrong.
    pub message: String,
    /// What the person can do about it, if there is something.
    pub hint: Option<String>,
    /// What a shell should see, where it was a program that ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The input is wrong: every try would end the same way. The job fails at once.
    Fatal,
    /// The machine got in the way (a full disk, a lost mount): tried again, a few times.
    Retry,
    /// It was told to stop and did, or was not begun. Not a try that counts: while the job runs, it is given away again.
    Cancelled,
}

/// What a finished job leaves behind, in a form for people and for scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// One line: `merged 4 checkpoints into out (514.3 MB, 1.2 s)`.
    pub summary: String,
    /// The kind's own figures.
    pub details: serde_json::Value,
}

impl Failure {
    /// A failure that no further try can mend.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Fatal, message: message.into(), hint: None, exit: None }
    }

    /// A failure that another try may mend.
    pub fn retry(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Retry, message: message.into(), hint: None, exit: None }
    }

    /// The task stopped because it was told to.
    pub fn cancelled() -> Self {
        Self { kind: FailureKind::Cancelled, message: "cancelled".into(), hint: None, exit: None }
    }

    /// The same with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what a shell should see.
    pub fn with_exit(mut self, exit: u8) -> Self {
        self.exit = Some(exit);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_demand_of_an_older_version_is_read_and_a_plain_one_is_written_as_it_was() {
        let old = json!({ "bytes": 7, "memory": 8, "wide": true });
        let demand = Demand { bytes: 7, memory: 8, wide: true, ..Demand::default() };
        assert_eq!(serde_json::from_value::<Demand>(old.clone()).unwrap(), demand);
        assert_eq!(json!(demand), old);
    }

    #[test]
    fn a_demand_reads_back() {
        let demand = Demand {
            threads: 4,
            gpus: 2,
            gpu_kind: Some("h100".into()),
            labels: [("rack".to_owned(), "7".to_owned())].into(),
            inputs: vec![Input { name: "model.safetensors".into(), bytes: 9 }],
            disk: Some(Box::new(Space { path: "/out".into(), bytes: 11 })),
            gang: Some(Member { rank: 1, size: 2 }),
            ..Demand::default()
        };
        assert_eq!(serde_json::from_value::<Demand>(json!(demand)).unwrap(), demand);
    }
}
