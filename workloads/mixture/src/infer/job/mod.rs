//! Inference as a job of a fleet: shards are counted by whoever is free.
//!
//! ```text
//!   List ──▶ Count … Count ──(all done)──▶ Merge … Merge ──(all done)──▶ Solve ──▶ finished
//!    └─────▶ finished     when OUT holds the answer to this very question already
//! ```
//!
//! A task leaves a file in a hidden folder beside the answer, which is named after the question: the tokenizer, the files of
//! text with their sizes and times, and how many merges. A task that finds its file there is done, so a job that was killed
//! goes on where it stopped, and what was counted for other text is never taken.

mod execute;
mod files;
mod workload;

pub use execute::InferExecute;
pub use workload::{InferJob, InferWorkload};

use super::InferError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The word that names this kind in a job.
pub const KIND: &str = "mixture-infer";

/// The payload of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Step {
    /// Read the tokenizer, list the text, cut it into shards.
    List,
    /// Count the words of a shard.
    Count { question: String, category: usize, shard: usize },
    /// Sum the words of a category, and merge.
    Merge { question: String, category: usize },
    /// Solve for the proportions.
    Solve { question: String },
}

/// What [`Step::List`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// The digest of what is asked.
    question: String,
    /// By category: shards, and bytes of text.
    categories: Vec<(usize, u64)>,
    /// The answer is there.
    answered: bool,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, InferError> {
    T::deserialize(value).map_err(|error| InferError::Task(format!("cannot read {value}: {error}")))
}

fn write<T: Serialize>(value: &T) -> Result<Value, InferError> {
    serde_json::to_value(value).map_err(|error| InferError::Task(format!("cannot write a task: {error}")))
}
