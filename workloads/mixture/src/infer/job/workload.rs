//! The deciding half: shards, then categories, then the program.

use super::{KIND, Listed, Step, read, write};
use crate::infer::{Answer, InferError, InferSpec};
use braid_workload::{Advance, Demand, JobResult, Plan, Reach, SpecError, TaskSpec, Workload};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// What is to be inferred, and where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferJob {
    /// The tokenizer and the text; paths are absolute, and every worker sees them.
    pub spec: InferSpec,
    /// The folder of the answer.
    pub out: PathBuf,
}

/// Decides what the tasks of an inference are.
#[derive(Debug, Clone, Copy, Default)]
pub struct InferWorkload;

impl InferJob {
    pub(super) fn reach(&self) -> Reach {
        let data = self.spec.data.iter().map(|category| category.path.clone());
        Reach::Paths { reads: data.chain([self.spec.tokenizer.clone()]).collect(), writes: vec![self.out.clone()] }
    }

    fn check(&self) -> Result<(), InferError> {
        self.spec.check()?;
        let data = self.spec.data.iter().map(|category| &category.path);
        match data.chain([&self.spec.tokenizer, &self.out]).find(|path| !path.is_absolute()) {
            Some(path) => Err(InferError::Task(format!("{} is not an absolute path", path.display()))),
            None => Ok(()),
        }
    }
}

impl Workload for InferWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_resumable(&self, _: &Value) -> bool {
        true
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let job: InferJob = read(spec).map_err(refuse)?;
        job.check().map_err(refuse)?;
        let (categories, out) = (job.spec.data.len(), job.out.display());
        Ok(Plan {
            label: format!("infer {categories} proportions -> {out}"),
            exclusive: Some(format!("out:{out}")),
            state: Value::Null,
            tasks: vec![task("list".into(), &Step::List, 0).map_err(refuse)?],
        })
    }

    fn reach(&self, spec: &Value) -> Result<Reach, SpecError> {
        Ok(read::<InferJob>(spec).map_err(refuse)?.reach())
    }

    fn advance(
        &self,
        spec: &Value,
        state: &Value,
        finished: &TaskSpec,
        value: &Value,
        open: usize,
    ) -> Result<Advance, SpecError> {
        advance(spec, state, finished, value, open).map_err(refuse)
    }
}

/// What a job remembers between its tasks is what was listed.
fn advance(spec: &Value, state: &Value, finished: &TaskSpec, value: &Value, open: usize) -> Result<Advance, InferError> {
    let go_on = |tasks| Ok(Advance::Continue { state: None, tasks });
    match read(&finished.payload)? {
        Step::List => {
            let Listed { question, categories, answered } = read(value)?;
            if answered {
                return Ok(Advance::Continue { state: None, tasks: vec![task("answer".into(), &Step::Solve { question }, 0)?] });
            }
            let mut tasks = Vec::new();
            for (category, (&(shards, bytes), data)) in categories.iter().zip(&read::<InferJob>(spec)?.spec.data).enumerate() {
                for shard in 0..shards {
                    let step = Step::Count { question: question.clone(), category, shard };
                    tasks.push(task(format!("count {} {shard}", data.name), &step, bytes / shards.max(1) as u64)?);
                }
            }
            Ok(Advance::Continue { state: Some(value.clone()), tasks })
        }
        Step::Count { .. } | Step::Merge { .. } if open > 0 => go_on(Vec::new()),
        Step::Count { question, .. } => {
            let categories = read::<Listed>(state)?.categories;
            let merge = |(category, (_, bytes)): (usize, &(usize, u64))| {
                task(format!("merge {category}"), &Step::Merge { question: question.clone(), category }, *bytes)
            };
            go_on(categories.iter().enumerate().map(merge).collect::<Result<_, _>>()?)
        }
        Step::Merge { question, .. } => go_on(vec![task("solve".into(), &Step::Solve { question }, 0)?]),
        Step::Solve { .. } => Ok(Advance::Finished(result(&read(spec)?, &read(value)?, value))),
    }
}

fn result(job: &InferJob, answer: &Answer, value: &Value) -> JobResult {
    let shares: Vec<String> = answer
        .proportions
        .iter()
        .take(8)
        .map(|(name, share)| format!("{name} {:.1} %", 100.0 * share.as_f64().unwrap_or_default()))
        .collect();
    let more = if answer.proportions.len() > shares.len() { ", …" } else { "" };
    let summary = format!("{}{more}, from {} merges; in {}", shares.join(", "), answer.merges, job.out.display());
    JobResult { summary, details: value.clone() }
}

fn task(label: String, step: &Step, bytes: u64) -> Result<TaskSpec, InferError> {
    let wide = matches!(step, Step::Solve { .. });
    Ok(TaskSpec { label, payload: write(step)?, demand: Demand { bytes, wide, ..Demand::default() } })
}

fn refuse(error: InferError) -> SpecError {
    let message = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    SpecError { kind: KIND, message }
}
