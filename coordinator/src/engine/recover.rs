//! The state that the records of a store describe.
//!
//! Tasks that were assigned stay with their node for one lease: the worker, which has gone on with them, registers again
//! and says so. Those of a node that does not come are lost like those of any silent node.

use super::{State, ending, projects, upkeep};
use crate::model::{
    Access, Assignment, Holding, Job, JobPhase, JobRecord, Millis, NewJob, Node, Rate, RecordError, Task, TaskPhase, TaskRecord,
    decode, keys,
};
use braid_workload::{JobId, NodeId, TaskSpec};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The records of a store, by the prefix of their keys.
#[derive(Debug, Default)]
pub struct Records {
    /// Under `job/`.
    pub jobs: Vec<(String, Vec<u8>)>,
    /// Under `spec/`.
    pub specs: Vec<(String, Vec<u8>)>,
    /// Under `plan/`.
    pub plans: Vec<(String, Vec<u8>)>,
    /// Under `task/`.
    pub tasks: Vec<(String, Vec<u8>)>,
    /// Under `node/`.
    pub nodes: Vec<(String, Vec<u8>)>,
    /// Under `project/`.
    pub projects: Vec<(String, Vec<u8>)>,
}

/// Rebuilds the state. `epoch` is this coordinator's own, greater than that of any before it.
///
/// # Errors
/// [`RecordError`] naming the record that cannot be read or is missing.
pub fn recover(records: &Records, epoch: u64, lease: Duration, now: Millis) -> Result<State, RecordError> {
    let specs: BTreeMap<&str, &[u8]> = records.specs.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    let mut plans: BTreeMap<JobId, BTreeMap<u32, &[u8]>> = BTreeMap::new();
    for (key, value) in &records.plans {
        if let Some((job, chunk)) = keys::numbered(key) {
            plans.entry(job).or_default().insert(chunk, value);
        }
    }
    let mut state = State {
        epoch,
        unplaced: true,
        upkeep: upkeep::recover(&records.nodes)?,
        projects: projects::recover(&records.projects)?,
        ..State::default()
    };
    for (key, value) in &records.jobs {
        let record: JobRecord = decode(key, value)?;
        let spec_key = keys::spec(record.id);
        let spec: Value = match specs.get(spec_key.as_str()) {
            Some(bytes) => decode(&spec_key, bytes)?,
            // It was being forgotten when its coordinator died.
            None if matches!(record.phase, JobPhase::Ended(_)) => Value::Null,
            None => return Err(RecordError { key: spec_key, problem: "it is missing".into() }),
        };
        let chunks = plans.remove(&record.id).unwrap_or_default();
        let job = recover_job(record, spec, &chunks)?;
        state.last_job = state.last_job.max(job.id.0);
        state.requests.insert(job.request_id.clone(), job.id);
        state.jobs.insert(job.id, job);
    }
    for (key, value) in &records.tasks {
        recover_task(&mut state, key, value)?;
    }
    for job in state.jobs.values_mut().filter(|job| job.phase != JobPhase::Running) {
        ending::cancel_waiting(job);
    }
    adopt_nodes(&mut state, now + lease);
    Ok(state)
}

fn recover_job(record: JobRecord, spec: Value, chunks: &BTreeMap<u32, &[u8]>) -> Result<Job, RecordError> {
    let mut job = Job::new(NewJob {
        id: record.id,
        kind: record.kind,
        label: record.label,
        spec: Arc::new(spec),
        request_id: record.request_id,
        precedence: record.precedence,
        trace: record.trace,
        exclusive: record.exclusive,
        state: record.state,
        submitted: record.submitted,
    });
    job.phase = record.phase;
    job.finished = record.finished;
    job.chunks = record.chunks;
    job.reused = record.reused;
    for chunk in 0..record.chunks {
        let key = keys::plan(job.id, chunk);
        match chunks.get(&chunk) {
            Some(bytes) => {
                for spec in decode::<Vec<TaskSpec>>(&key, bytes)? {
                    job.push(Task::new(spec));
                }
            }
            None if job.is_over() => {}
            None => return Err(RecordError { key, problem: "it is missing".into() }),
        }
    }
    Ok(job)
}

fn recover_task(state: &mut State, key: &str, value: &[u8]) -> Result<(), RecordError> {
    let Some((job, index)) = keys::numbered(key) else {
        return Err(RecordError { key: key.to_owned(), problem: "its key is no task".into() });
    };
    let Some(job) = state.jobs.get_mut(&job) else { return Ok(()) };
    let record: TaskRecord = decode(key, value)?;
    let Some(task) = job.tasks.get_mut(index as usize) else { return Ok(()) };
    task.attempt = record.attempt;
    job.begun |= record.attempt.0 > 0;
    task.failures = record.failures;
    task.losses = record.losses;
    task.last_failure = record.last_failure;
    job.set_phase(index, record.phase);
    // A job that is over has no task that runs: its last record says so for all of them.
    if job.is_over() && matches!(job.tasks.get(index as usize).map(|task| &task.phase), Some(TaskPhase::Assigned(_))) {
        job.set_phase(index, TaskPhase::Cancelled);
    }
    Ok(())
}

fn adopt_nodes(state: &mut State, expires: Millis) {
    let mut held: BTreeMap<NodeId, (Assignment, BTreeSet<_>)> = BTreeMap::new();
    for job in state.jobs.values() {
        for (index, task) in (0u32..).zip(&job.tasks) {
            if let Some(assignment) = task.assignment() {
                state.timeline.begin(job.id.task(index), task.attempt, assignment.node.clone(), assignment.since);
                let entry = held.entry(assignment.node.clone()).or_insert_with(|| (assignment.clone(), BTreeSet::new()));
                entry.1.insert(job.id.task(index));
            }
        }
    }
    for (id, (assignment, tasks)) in held {
        let mut node = Node {
            id: id.clone(),
            session: None,
            lease: assignment.lease,
            expires,
            inventory: None,
            tasks: BTreeSet::new(),
            holding: Holding::default(),
            rate: Rate::default(),
            rates: BTreeMap::new(),
            inputs: Arc::default(),
            declared: BTreeMap::new(),
            access: Access::default(),
            evicted: false,
            resting: None,
        };
        for task in tasks {
            if let Some(known) = state.job(task.job).and_then(|job| job.tasks.get(task.index as usize)) {
                node.take(task, known);
            }
        }
        let said = state.upkeep.get(&id).cloned().unwrap_or_default();
        upkeep::attend(&mut node, &said);
        state.nodes.insert(id, node);
    }
}
