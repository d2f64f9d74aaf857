//! What passes between the two halves of a merge: the payloads of its tasks and the values that they end with.

use crate::{
    MergeError,
    survey::{Answer, Asked, Case, Finding},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The payload of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Read the headers, check everything, make the staging folder.
    Plan,
    /// Look at the tensors of the plan with this digest, for what the method asks about whole models.
    Survey { plan: String, asked: Asked },
    /// Keep what is known about whole models, and share out the work.
    Spread { plan: String, answers: Vec<Answer> },
    /// Merge the tensors `first..end` of the plan with this digest.
    Tensors { first: usize, end: usize, plan: String },
    /// Turn the staging folder into the result.
    Publish { plan: String },
}

/// What [`Step::Plan`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// The digest of the plan.
    pub(crate) plan: String,
    /// The result of this very merge was there already; nothing is left to do.
    pub(crate) published: bool,
    /// The number of output tensors.
    pub(crate) tensors: usize,
    /// The bytes that all tensors read and write.
    pub(crate) bytes: u64,
    /// How many of the tensors an interrupted run had written already.
    pub(crate) reused_tensors: usize,
    /// The bytes that these would have read and written.
    pub(crate) reused_bytes: u64,
    /// The memory that a task needs at least.
    pub(crate) memory: u64,
    /// What is to be done.
    pub(crate) groups: Vec<Group>,
    /// What is to be looked at before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) survey: Option<Surveyed>,
}

/// What a survey begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surveyed {
    /// What the questions depend on.
    pub(crate) case: Case,
    /// What each task looks at, and the bytes that it reads.
    pub(crate) groups: Vec<Group>,
    /// The method that asks.
    pub(crate) method: String,
}

/// A run of tensors that one task merges: first, end, and the bytes that it reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group(pub(crate) usize, pub(crate) usize, pub(crate) u64);

/// What [`Step::Tensors`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Merged {
    /// Tensors merged by this attempt.
    pub(crate) tensors: usize,
    /// Tensors found done, by an earlier attempt or run.
    pub(crate) reused: usize,
    /// The bytes of inputs that were read.
    #[serde(default)]
    pub(crate) read: u64,
}

/// What [`Step::Survey`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// What was found.
    pub(crate) finding: Finding,
    /// The bytes of inputs that were read.
    #[serde(default)]
    pub(crate) read: u64,
}

/// What [`Step::Publish`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Where the result is.
    pub(crate) out: String,
    /// The recipe's name, where what it makes is only used by others of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<String>,
    /// How many recipes were followed.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) recipes: usize,
    /// How many models went into it.
    pub(crate) models: usize,
    /// How many tensors it has.
    pub(crate) tensors: usize,
    /// The bytes of its tensors.
    pub(crate) bytes: u64,
    /// How many files they are in.
    pub(crate) shards: usize,
    /// The digest over all tensors; absent where an earlier attempt had published.
    pub(crate) digest: Option<String>,
    /// Tensors that an interrupted run had written.
    pub(crate) reused_tensors: usize,
    /// The bytes of these.
    pub(crate) reused_bytes: u64,
    /// What was taken from an earlier result, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<Taken>,
    /// Tensors that had to be merged again because their bytes had not reached the disk of a node.
    pub(crate) repaired_tensors: usize,
}

/// What was taken from an earlier result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// How many tensors.
    pub(crate) tensors: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The folder of that result.
    pub(crate) from: String,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

/// Reads a payload or value.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, MergeError> {
    T::deserialize(value).map_err(|error| MergeError::Task(format!("cannot read {value}: {error}")))
}

/// Writes a payload or value.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Value, MergeError> {
    serde_json::to_value(value).map_err(|error| MergeError::Task(format!("cannot write a task: {error}")))
}
