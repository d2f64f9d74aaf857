//! What passes between the two halves of a kind of job, and is stored on the way.

use crate::{AttemptId, TaskId};
use serde::{Deserialize, Serialize};

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

/// What a task asks of a worker, as placement sees it. Tasks of a job with equal demand form one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// Bytes that the task reads and writes; 0 when unknown. The measure of its length.
    pub bytes: u64,
    /// Bytes of memory that the task needs at least.
    pub memory: u64,
    /// True: the task spreads over all threads of a worker, so a worker runs one at a time (and holds the next at hand).
    /// False: it takes one thread.
    pub wide: bool,
    /// Set for a member of a gang: tasks that start together or not at all, and talk to each other while they run. The
    /// members follow each other in the order of their ranks, and their results count once all of them are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<Member>,
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
