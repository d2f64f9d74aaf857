//! The doing half: runs the tasks of mixtures on a worker.
//!
//! The data of a job is opened once and kept for its next tasks. No task relies on that: each may run alone, on any worker, after
//! any other was killed.

mod branch;
mod external;
pub(super) mod files;
mod fit;
mod leg;
mod merges;
mod place;
mod prepare;
mod probe;
mod run;

pub(super) use fit::FIT;
use fit::Laws;

use super::{
    JobError, KIND, MixJob, report,
    step::{self, Step},
    workload::read_job,
};
use crate::{
    MixtureError,
    data::Data,
    trainer::{Opening, Session, Trainer, TrainerError, Trainers},
};
use braid_workload::{Execute, Failure, Reach, TaskContext, TaskSpec};
use serde_json::Value;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Jobs whose data is kept at hand; a worker seldom has tasks of more than two at a time.
const KEPT: usize = 2;

/// Runs the tasks of mixtures.
pub struct MixtureExecute {
    trainers: Trainers,
    /// The data used last, the latest at the end, each with the spec that it was opened for.
    opened: Mutex<Vec<(Value, Arc<Data>)>>,
}

/// One task and all it works with.
struct Task<'a> {
    job: &'a MixJob,
    data: &'a Data,
    trainer: &'a dyn Trainer,
    settings: &'a Value,
    context: &'a TaskContext,
}

impl MixtureExecute {
    /// With the trainers that a spec may name.
    pub fn new(trainers: Trainers) -> Self {
        Self { trainers, opened: Mutex::default() }
    }

    fn step(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, JobError> {
        let (job, step) = (read_job(spec)?, step::read::<Step>(&task.payload)?);
        if step == Step::Report {
            return step::write(&report::write(&job)?);
        }
        if job.spec.is_external() {
            return external::step(&job, step, &self.trainers, context);
        }
        if step == Step::Prepare {
            // From what is there now, not from what an earlier job saw.
            self.lock().retain(|(of, _)| of != spec);
        }
        let data = self.open(spec, &job)?;
        let (name, settings) = job.spec.trainer()?;
        let task = Task { job: &job, data: &data, trainer: self.trainers.get(name)?, settings, context };
        match step {
            Step::Prepare => step::write(&task.prepare()?),
            Step::Run { run } => step::write(&task.run(run).map_err(|error| error.of(&run.label(&job.spec)))?),
            Step::Branch { run, probe, branch } => {
                task.branch(run, probe, branch).map_err(|error| error.of(&run.label(&job.spec)))?;
                Ok(Value::Null)
            }
            Step::Merges { campaign, domain } => {
                task.merges(campaign, domain).map_err(|error| error.of(&campaign.label(&job.spec)))?;
                Ok(Value::Null)
            }
            Step::Fit { campaign } => {
                task.laws().fit(campaign).map_err(|error| error.of(&campaign.label(&job.spec)))?;
                Ok(Value::Null)
            }
            Step::Report => Err(JobError::Task("a report needs no data".into())),
        }
    }

    fn open(&self, spec: &Value, job: &MixJob) -> Result<Arc<Data>, JobError> {
        let mut kept = self.lock();
        let entry = match kept.iter().position(|(of, _)| of == spec) {
            Some(index) => kept.remove(index),
            None => {
                let sources: Vec<_> = job.spec.domains.values().cloned().collect();
                (spec.clone(), Arc::new(Data::open(&job.spec.domains()?, &sources, &job.spec.split, job.spec.context)?))
            }
        };
        let data = Arc::clone(&entry.1);
        kept.push(entry);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
        Ok(data)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Value, Arc<Data>)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execute for MixtureExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, spec: &Value) -> Result<Reach, Failure> {
        Ok(read_job(spec)?.reach(&self.trainers)?)
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        // On one thread of its own: what a sum comes to must not depend on how many a worker has.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| Failure::retry(format!("cannot start a thread for a run: {error}")))?;
        Ok(pool.install(|| self.step(spec, task, context))?)
    }
}

impl<'a> Task<'a> {
    /// A session from a checkpoint, or from the beginning.
    fn open(
        &self,
        seed: u64,
        schedule: u64,
        from: Option<(&'a Path, u64)>,
        scratch: &'a Path,
    ) -> Result<Box<dyn Session + 'a>, JobError> {
        let opening = Opening { settings: self.settings, data: self.data, seed, schedule, from, scratch, task: self.context };
        Ok(self.trainer.open(opening)?)
    }

    /// What offline methods need.
    fn laws(&self) -> Laws<'a> {
        Laws { job: self.job, domains: self.data.domains(), sizes: self.data.sizes(), context: self.context }
    }

    /// That a trainer told numbers, before any of them is written down: JSON has none that is not finite.
    fn finite(&self, what: &'static str, step: u64, values: impl IntoIterator<Item = Option<f64>>) -> Result<(), JobError> {
        let wrong =
            values.into_iter().enumerate().find_map(|(index, value)| value.filter(|x| !x.is_finite()).map(|x| (index, x)));
        let Some((domain, value)) = wrong else { return Ok(()) };
        Err(MixtureError::Value { domain: self.data.domains().name(domain), step, what, value }.into())
    }

    fn stop_if_told(&self) -> Result<(), JobError> {
        if self.context.is_cancelled() { Err(TrainerError::Cancelled.into()) } else { Ok(()) }
    }

    fn attempt_name(&self) -> String {
        attempt_name(self.context)
    }
}

/// A name that no other attempt has, on whatever machine it runs.
fn attempt_name(context: &TaskContext) -> String {
    let TaskContext { task, attempt, .. } = context;
    format!("{task}-{attempt}-{}", std::process::id())
}
