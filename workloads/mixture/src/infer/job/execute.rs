//! The doing half: each task reads what the ones before it left, and leaves one file.

use super::{
    KIND, Listed, Step,
    files::{self, Files},
    read,
    workload::InferJob,
    write,
};
use crate::infer::{
    Answer, InferError, answer,
    counts::{History, SHARD_BYTES, Shard, Words, shards},
    tokenizer::Bpe,
};
use braid_workload::{Execute, Failure, Reach, TaskContext, TaskSpec};
use serde_json::Value;
use std::{fs, time::Duration};

/// The most shards of a category: longer text is cut into longer ones.
const MAX_SHARDS: u64 = 1000;
/// How long one linear program may take, which is not interrupted.
const PROGRAM: Duration = Duration::from_secs(30);

/// Runs the tasks of inferences.
#[derive(Debug, Clone, Copy, Default)]
pub struct InferExecute;

impl Execute for InferExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, spec: &Value) -> Result<Reach, Failure> {
        Ok(read::<InferJob>(spec)?.reach())
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let job: InferJob = read(spec)?;
        let value = match read(&task.payload)? {
            Step::List => list(&job, context).and_then(|listed| write(&listed)),
            Step::Count { question, category, shard } => count(&job, &question, (category, shard), context).map(Value::from),
            Step::Merge { question, category } => merge(&job, &question, category, context).map(Value::from),
            Step::Solve { question } => solve(&job, &question, context).and_then(|answer| write(&answer)),
        };
        Ok(value?)
    }
}

fn list(job: &InferJob, context: &TaskContext) -> Result<Listed, InferError> {
    let spec = &job.spec;
    let tokenizer = fs::read(&spec.tokenizer).map_err(InferError::file("read", &spec.tokenizer))?;
    // Whatever is wrong with it is told before anything is counted.
    Bpe::read(&spec.tokenizer)?;
    let mut all = Vec::new();
    for category in &spec.data {
        let mut cut = shards(&category.name, &category.path, SHARD_BYTES)?;
        let many = cut.len() as u64;
        if many > MAX_SHARDS {
            cut = shards(&category.name, &category.path, SHARD_BYTES.saturating_mul(many.div_ceil(MAX_SHARDS)))?;
        }
        all.push(cut);
    }
    let question = files::question(spec, &tokenizer, &all)?;
    let files = Files::new(&job.out, &question, context);
    let answered = files.answered()?.is_some();
    if !answered {
        files.write(&files.listing(), &all)?;
    }
    let bytes = |shards: &Vec<Shard>| (shards.len(), shards.iter().map(|shard| shard.end - shard.start).sum());
    let categories = all.iter().map(bytes).collect();
    Ok(Listed { question, categories, answered })
}

/// Bytes of the shard.
fn count(job: &InferJob, question: &str, (category, shard): (usize, usize), context: &TaskContext) -> Result<u64, InferError> {
    let files = Files::new(&job.out, question, context);
    let path = files.words(category, shard);
    let all: Vec<Vec<Shard>> = files::read(&files.listing())?;
    let shard = all.get(category).and_then(|shards| shards.get(shard));
    let shard = shard.ok_or_else(|| InferError::Task("the job has no such shard".into()))?;
    let length = shard.end.saturating_sub(shard.start);
    if path.exists() {
        context.progress.add_reused(length);
        return Ok(length);
    }
    let bpe = Bpe::read(&job.spec.tokenizer)?;
    files.write_words(&path, shard.count(&bpe, &|| context.is_cancelled())?)?;
    context.progress.add(length);
    Ok(length)
}

/// Bytes of the category.
fn merge(job: &InferJob, question: &str, category: usize, context: &TaskContext) -> Result<u64, InferError> {
    let files = Files::new(&job.out, question, context);
    let path = files.history(category);
    let all: Vec<Vec<Shard>> = files::read(&files.listing())?;
    let (Some(shards), Some(named)) = (all.get(category), job.spec.data.get(category)) else {
        return Err(InferError::Task("the job has no such category".into()));
    };
    if !path.exists() {
        let bpe = Bpe::read(&job.spec.tokenizer)?;
        let mut words = Words::default();
        for shard in 0..shards.len() {
            if context.is_cancelled() {
                return Err(InferError::Cancelled);
            }
            words = words.merge(files::read_words(&files.words(category, shard))?);
        }
        let history = History::new(&words, &bpe, job.spec.limit(bpe.merges.len()), &|| context.is_cancelled())?;
        history.check(named)?;
        files.write(&path, &history)?;
    }
    let bytes = shards.iter().map(|shard| shard.end.saturating_sub(shard.start)).sum();
    context.progress.add(bytes);
    Ok(bytes)
}

fn solve(job: &InferJob, question: &str, context: &TaskContext) -> Result<Answer, InferError> {
    let files = Files::new(&job.out, question, context);
    if let Some(answer) = files.answered()? {
        return Ok(answer);
    }
    context.progress.set_grace(PROGRAM);
    let bpe = Bpe::read(&job.spec.tokenizer)?;
    let histories: Vec<History> =
        (0..job.spec.data.len()).map(|category| files::read_history(&files.history(category))).collect::<Result<_, _>>()?;
    let cancelled = || context.is_cancelled();
    let answer = context.pool.install(|| answer(&job.spec, &histories, &bpe.merges, &cancelled))?;
    files.answer(&answer)?;
    Ok(answer)
}
