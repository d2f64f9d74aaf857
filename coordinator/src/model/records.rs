//! How jobs and tasks are written down: small JSON records under sortable keys.
//!
//! | key | holds | written |
//! |---|---|---|
//! | `job/ID` | [`JobRecord`] | at submit and at each change of phase or state |
//! | `spec/ID` | the spec as submitted | once |
//! | `plan/ID/CHUNK` | a list of task specs | once each, before the job record that counts them |
//! | `task/ID/INDEX` | [`TaskRecord`] | when it is assigned and when its result is in |
//! | `project/NAME` | [`Project`] | when an operator says something about it |
//! | `node/NAME` | [`Upkeep`] | when an operator says something about it |
//!
//! A task without a record waits. Records of plans beyond what the job record counts are leftovers of a crash and are
//! ignored.

use super::{Job, JobPhase, Millis, Precedence, Project, Task, TaskPhase, Upkeep};
use braid_telemetry::trace::TraceContext;
use braid_workload::{AttemptId, Failure, JobId, NodeId, TaskId, TaskSpec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: String,
    /// Its new value, or `None` to remove it.
    pub value: Option<Vec<u8>>,
}

/// What is stored of a job, but for its spec and tasks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// The word of its workload.
    pub kind: String,
    /// What a person sees.
    pub label: String,
    /// The client's own key.
    pub request_id: String,
    /// How it stands among others.
    #[serde(default)]
    pub precedence: Precedence,
    /// Where its submit stands in a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// A name that only one unfinished job may hold.
    pub exclusive: Option<String>,
    /// Where it stands.
    pub phase: JobPhase,
    /// The workload's state.
    pub state: Value,
    /// When it was accepted.
    pub submitted: Millis,
    /// When it ended.
    pub finished: Option<Millis>,
    /// Records of task specs that belong to it.
    pub chunks: u32,
    /// Bytes that finished tasks kept from an earlier run.
    pub reused: u64,
}

/// What is stored of a task, but for its spec.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Where it stands.
    pub phase: TaskPhase,
    /// The newest try.
    pub attempt: AttemptId,
    /// Tries that failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Tries whose worker was lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
    /// Why the last failed try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

/// A record that is not what its key says.
#[derive(Debug, thiserror::Error)]
#[error("the stored record {key} cannot be read: {problem}")]
pub struct RecordError {
    /// Which record.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The keys, in one place.
pub mod keys {
    use braid_workload::{JobId, NodeId, TaskId};

    /// All job records.
    pub const JOBS: &str = "job/";
    /// All specs.
    pub const SPECS: &str = "spec/";
    /// All chunks of task specs.
    pub const PLANS: &str = "plan/";
    /// All task records.
    pub const TASKS: &str = "task/";
    /// What operators said about projects.
    pub const PROJECTS: &str = "project/";
    /// What operators said about nodes.
    pub const NODES: &str = "node/";

    /// Of a job.
    pub fn job(id: JobId) -> String {
        format!("{JOBS}{:012}", id.0)
    }

    /// Of what was submitted.
    pub fn spec(id: JobId) -> String {
        format!("{SPECS}{:012}", id.0)
    }

    /// Of a chunk of task specs.
    pub fn plan(id: JobId, chunk: u32) -> String {
        format!("{PLANS}{:012}/{chunk:06}", id.0)
    }

    /// Of a task.
    pub fn task(id: TaskId) -> String {
        format!("{TASKS}{:012}/{:010}", id.job.0, id.index)
    }

    /// Of what operators said about a node.
    pub fn node(id: &NodeId) -> String {
        format!("{NODES}{id}")
    }

    /// The job and the number in `prefix/JOB/NUMBER`.
    pub fn numbered(key: &str) -> Option<(JobId, u32)> {
        let (job, number) = key.split_once('/')?.1.split_once('/')?;
        Some((JobId(job.parse().ok()?), number.parse().ok()?))
    }
}

/// Bytes of task specs in one record: well under the store's limit, whatever the last spec adds.
const CHUNK: usize = 32 << 10;

/// Cuts task specs into records. `None` when a single spec is too large for any.
pub fn chunk_specs(specs: &[TaskSpec]) -> Option<Vec<Vec<u8>>> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    for spec in specs {
        let text = encode(spec);
        if text.len() >= CHUNK {
            return None;
        }
        if !chunk.is_empty() && chunk.len() + text.len() > CHUNK {
            chunk.push(b']');
            chunks.push(std::mem::take(&mut chunk));
        }
        chunk.push(if chunk.is_empty() { b'[' } else { b',' });
        chunk.extend_from_slice(&text);
    }
    if !chunk.is_empty() {
        chunk.push(b']');
        chunks.push(chunk);
    }
    Some(chunks)
}

/// A record as bytes. Our own records are made of strings, numbers and lists: they always have a JSON form.
fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

/// Bytes as a record.
///
/// # Errors
/// [`RecordError`] naming the key when the bytes are no such record.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes).map_err(|error| RecordError { key: key.to_owned(), problem: error.to_string() })
}

impl Change {
    /// Writes raw bytes.
    pub fn put(key: String, value: Vec<u8>) -> Self {
        Self { key, value: Some(value) }
    }

    /// Removes a record.
    pub fn delete(key: String) -> Self {
        Self { key, value: None }
    }

    /// Writes a job's record.
    pub fn job(job: &Job) -> Self {
        let record = JobRecord {
            id: job.id,
            kind: job.kind.clone(),
            label: job.label.clone(),
            request_id: job.request_id.clone(),
            precedence: job.precedence.clone(),
            trace: job.trace.clone(),
            exclusive: job.exclusive.clone(),
            phase: job.phase.clone(),
            state: job.state.clone(),
            submitted: job.submitted,
            finished: job.finished,
            chunks: job.chunks,
            reused: job.reused,
        };
        Self::put(keys::job(job.id), encode(&record))
    }

    /// Writes a job's spec.
    pub fn spec(job: &Job) -> Self {
        Self::put(keys::spec(job.id), encode(&*job.spec))
    }

    /// Writes what operators said about a project, or forgets it.
    pub fn project(name: &str, project: &Project) -> Self {
        let key = format!("{}{name}", keys::PROJECTS);
        if *project == Project::default() { Self::delete(key) } else { Self::put(key, encode(project)) }
    }

    /// Writes what operators said about a node, or forgets it.
    pub fn upkeep(id: &NodeId, upkeep: &Upkeep) -> Self {
        let key = keys::node(id);
        if upkeep.is_default() { Self::delete(key) } else { Self::put(key, encode(upkeep)) }
    }

    /// Writes a task's record.
    pub fn task(id: TaskId, task: &Task) -> Self {
        let record = TaskRecord {
            phase: task.phase.clone(),
            attempt: task.attempt,
            failures: task.failures,
            losses: task.losses,
            last_failure: task.last_failure.clone(),
        };
        Self::put(keys::task(id), encode(&record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::Demand;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_hold_all_specs_in_order_and_stay_small(sizes in proptest::collection::vec(0usize..30_000, 0..40)) {
            let specs: Vec<TaskSpec> = sizes
                .iter()
                .map(|size| TaskSpec { label: "x".repeat(*size), payload: Value::Null, demand: Demand::default() })
                .collect();
            let chunks = chunk_specs(&specs).unwrap();
            prop_assert!(chunks.iter().all(|chunk| chunk.len() <= braid_workload::MAX_RECORD));
            let back: Vec<TaskSpec> =
                chunks.iter().flat_map(|chunk| decode::<Vec<TaskSpec>>("plan", chunk).unwrap()).collect();
            prop_assert_eq!(back, specs);
        }
    }

    #[test]
    fn keys_sort_as_their_numbers_and_read_back() {
        assert!(keys::job(JobId(9)) < keys::job(JobId(10)));
        assert!(keys::task(JobId(1).task(9)) < keys::task(JobId(1).task(10)));
        assert_eq!(keys::numbered(&keys::task(JobId(7).task(3))), Some((JobId(7), 3)));
        assert_eq!(keys::numbered(&keys::plan(JobId(7), 2)), Some((JobId(7), 2)));
        assert_eq!(keys::numbered("task/x"), None);
    }

    #[test]
    fn a_spec_too_large_for_a_record_is_refused() {
        let spec = TaskSpec { label: "x".repeat(CHUNK), payload: Value::Null, demand: Demand::default() };
        assert_eq!(chunk_specs(&[spec]), None);
    }
}
