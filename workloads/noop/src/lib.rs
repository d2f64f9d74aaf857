//! Tasks that do nothing: the yardstick of the coordinator, and the least that a kind of job needs.
//!
//! A job of many empty tasks costs what the house around them costs, so its rate is the coordinator's. As an example it
//! shows the two halves whole: [`Noop`] plans and advances for the coordinator and runs for the worker, and both read
//! the same [`Spec`]. It is not a benchmark by itself; `millis` and `fail_first` exist for tests of the fleet.

use braid_workload::{
    Advance, AttemptId, Demand, Execute, Failure, JobResult, Plan, Reach, SpecError, TaskContext, TaskSpec, Workload,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The word that names this kind in a job.
pub const KIND: &str = "noop";

/// The most tasks that one job may have.
pub const MAX_TASKS: u32 = 1_000_000;

/// The longest wait between two looks at the cancel flag.
const SLICE: Duration = Duration::from_millis(20);

/// What a job of this kind says: `{"tasks": 100, "millis": 5}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// How many tasks, from 1 to [`MAX_TASKS`].
    pub tasks: u32,
    /// How long each of them sleeps, in milliseconds.
    #[serde(default)]
    pub millis: u64,
    /// The tasks with an index below this fail at their first try in a way that another try mends.
    #[serde(default)]
    pub fail_first: u32,
}

/// Both halves of the kind `noop`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noop;

impl Spec {
    fn read(spec: &Value) -> Result<Self, String> {
        let read = Self::deserialize(spec).map_err(|error| error.to_string())?;
        match read.tasks {
            1..=MAX_TASKS => Ok(read),
            other => Err(format!("tasks is {other}, not a number from 1 to {MAX_TASKS}")),
        }
    }
}

impl Workload for Noop {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let spec = Spec::read(spec).map_err(|message| SpecError { kind: KIND, message })?;
        let task = |index| TaskSpec { label: format!("nothing {index}"), payload: Value::Null, demand: Demand::default() };
        Ok(Plan {
            label: format!("nothing, {} times", spec.tasks),
            exclusive: None,
            state: Value::Null,
            tasks: (0..spec.tasks).map(task).collect(),
        })
    }

    fn reach(&self, _: &Value) -> Result<Reach, SpecError> {
        Ok(Reach::nothing())
    }

    fn advance(&self, spec: &Value, _: &Value, _: &TaskSpec, _: &Value, open: usize) -> Result<Advance, SpecError> {
        if open > 0 {
            return Ok(Advance::Continue { state: None, tasks: Vec::new() });
        }
        let spec = Spec::read(spec).map_err(|message| SpecError { kind: KIND, message })?;
        let summary = format!("did nothing {} times", spec.tasks);
        Ok(Advance::Finished(JobResult { summary, details: json!({ "tasks": spec.tasks }) }))
    }
}

impl Execute for Noop {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, _: &Value) -> Result<Reach, Failure> {
        Ok(Reach::nothing())
    }

    fn run(&self, spec: &Value, _: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let spec = Spec::read(spec).map_err(|message| Failure::fatal(format!("noop job: {message}")))?;
        sleep(Duration::from_millis(spec.millis), context)?;
        let first_try = context.attempt <= AttemptId::default().next();
        if first_try && context.task.index < spec.fail_first {
            return Err(Failure::retry(format!("task {} fails at its first try, as its job asks", context.task)));
        }
        Ok(Value::Null)
    }
}

fn sleep(time: Duration, context: &TaskContext) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        if context.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests;
