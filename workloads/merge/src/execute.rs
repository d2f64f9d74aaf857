//! The doing half of a merge: runs its tasks on a worker.
//!
//! What the tasks of one merge share (recipe, headers, plan) is opened once and kept for the next. No task relies on that:
//! each may run alone, on any worker, after any other was killed.

mod flush;
mod folder;
mod plan;
mod prefix;
mod publish;
mod reuse;
mod survey;
mod tensors;

use crate::{
    MergeError,
    checkpoint::Sources,
    cloud::{Room, sources},
    opened::Opened,
    output::{Staged, boot_id},
    run::{Buffers, Passes, Phases, keep_freed_pages},
    spec::KIND,
    step::{self, Planned, Step},
    survey::Answer,
    workload::read_spec,
};
use braid_gpu::Arithmetic;
use braid_workload::{Execute, Failure, Reach, TaskContext, TaskSpec};
use flush::Flusher;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicU64};

/// Merges kept open; a worker seldom has tasks of more than two at a time.
const KEPT: usize = 2;

/// Runs the tasks of merges.
#[derive(Debug)]
pub struct MergeExecute {
    /// The merges used last, the latest at the end, each with the spec that it was opened for.
    opened: Mutex<Vec<(Value, Arc<Opened>)>>,
    flusher: Flusher,
    boot: String,
    arithmetic: Arc<Arithmetic>,
    sources: Reading,
}

/// Where inputs are read from, for a merge that gets so much room.
struct Reading(Box<dyn Fn(Room) -> Sources + Send + Sync>);

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

/// One task and all it works with.
struct Job<'a> {
    opened: &'a Opened,
    context: &'a TaskContext,
    flusher: &'a Flusher,
    boot: &'a str,
    arithmetic: &'a Arithmetic,
    /// What is known about whole models.
    answers: Vec<Answer>,
}

impl MergeExecute {
    /// A fresh one, that has nothing open and computes on the CPU.
    pub fn new() -> Self {
        Self::with(Arc::new(Arithmetic::cpu()))
    }

    /// The same, with this arithmetic.
    pub fn with(arithmetic: Arc<Arithmetic>) -> Self {
        keep_freed_pages();
        Self {
            opened: Mutex::default(),
            flusher: Flusher::default(),
            boot: boot_id(),
            arithmetic,
            sources: Reading(Box::new(sources)),
        }
    }

    /// The same, reading from these places.
    #[cfg(all(test, feature = "cloud"))]
    pub(crate) fn reading(self, sources: impl Fn(Room) -> Sources + Send + Sync + 'static) -> Self {
        Self { sources: Reading(Box::new(sources)), ..self }
    }

    fn step(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, MergeError> {
        let step = step::read(&task.payload)?;
        if step == Step::Plan {
            // Planned from what is there now, not from what an earlier job of the same recipe saw.
            self.forget(spec);
        }
        let all = self.open(spec, context)?;
        let job = |opened| {
            let (flusher, boot, arithmetic) = (&self.flusher, self.boot.as_str(), self.arithmetic.as_ref());
            Job { opened, context, flusher, boot, arithmetic, answers: Vec::new() }
        };
        // the job of the recipe that this step is of
        let of = |plan: &str| {
            let found = all.with_plan(plan).and_then(|opened| all.check_unchanged().map(|()| opened));
            found.map(job).inspect_err(|_| self.forget(spec))
        };
        match step {
            Step::Plan => step::write(&plan_next(&all, job)?),
            Step::Survey { plan, asked } => step::write(&Job { answers: asked.answers.clone(), ..of(&plan)? }.survey(&asked)?),
            Step::Spread { plan, answers } => {
                let job = of(&plan)?;
                step::write(&job.unless_made(|| job.spread(answers.clone()))?)
            }
            Step::Tensors { first, end, plan } => {
                let job = of(&plan)?.knowing()?;
                step::write(&job.unless_made(|| job.tensors(first, end))?)
            }
            Step::Publish { plan } => {
                let job = of(&plan)?.knowing()?;
                let published = job.unless_made(|| job.publish())?;
                self.forget(spec);
                step::write(&published)
            }
        }
    }

    fn open(&self, spec: &Value, context: &TaskContext) -> Result<Arc<Opened>, MergeError> {
        let mut kept = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match kept.iter().position(|(of, _)| of == spec) {
            Some(index) => kept.remove(index),
            None => {
                let room = Room { memory: context.memory / 4, threads: context.pool.current_num_threads() };
                (spec.clone(), Arc::new(Opened::open(&read_spec(spec)?, &self.sources.0(room))?))
            }
        };
        let opened = Arc::clone(&entry.1);
        kept.push(entry);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
        Ok(opened)
    }

    fn forget(&self, spec: &Value) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| of != spec);
    }
}

/// Plans the first recipe whose result is to be written and is not there yet; the last one, if all are there.
fn plan_next<'a>(all: &'a Opened, job: impl Fn(&'a Opened) -> Job<'a>) -> Result<Planned, MergeError> {
    // Whether there is a place for the result is found now, and not when all the others have been merged.
    if !all.before.is_empty() && !job(all).unless_made(|| all.output.reserve(&all.record))? {
        for stage in all.before.iter().filter(|stage| !stage.composed) {
            stage.output.make_way(&stage.record)?;
            let job = job(stage);
            let planned = job.unless_made(|| job.plan())?;
            if !planned.published {
                job.context.log(format!("merging {}, which a later recipe uses", stage.recipe.called()));
                return Ok(planned);
            }
        }
    }
    let job = job(all);
    let planned = job.unless_made(|| job.plan())?;
    if planned.published {
        job.remove_stages();
    }
    Ok(planned)
}

impl Default for MergeExecute {
    fn default() -> Self {
        Self::new()
    }
}

impl Execute for MergeExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, spec: &Value) -> Result<Reach, Failure> {
        Ok(read_spec(spec).and_then(|spec| spec.uses())?)
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let done = self.step(spec, task, context);
        if matches!(done, Err(MergeError::Changed { .. })) {
            // The next try sees what is there now.
            self.forget(spec);
        }
        Ok(done?)
    }
}

impl Job<'_> {
    /// The memory that tiles work in: half of what the task may hold; the rest is for headers and what methods measure.
    fn passes(&self) -> Passes<'_> {
        let memory = self.context.memory / 2;
        let threads = self.context.pool.current_num_threads();
        Passes {
            context: self.context,
            buffers: Buffers::new(threads, self.opened.tile_bytes(), memory),
            memory,
            phases: Phases::new(),
            arithmetic: self.arithmetic,
            answers: &self.answers,
            read: AtomicU64::new(0),
        }
    }

    /// The same, with what is known about whole models.
    fn knowing(self) -> Result<Self, MergeError> {
        Ok(Self { answers: self.known()?, ..self })
    }

    /// Removes what stages have made, which the result does not need. What cannot be removed is only in the way.
    fn remove_stages(&self) {
        if let Some(stage) = self.opened.before.first() {
            let _ = stage.output.remove_parent();
        }
    }

    /// A name for a file of this attempt that no other attempt has, on whatever machine it runs.
    fn attempt_name(&self) -> String {
        let TaskContext { task, attempt, .. } = self.context;
        let node = self.boot.get(..8).unwrap_or("unknown");
        format!("{}-{attempt}-{node}-{}", task.index, std::process::id())
    }

    /// Does the work; once more where it failed because the result is there by now, and finds that then. An attempt that was given up
    /// may still run, on a worker that was stopped or cut off, and publish the folder that this one works in.
    fn unless_made<T>(&self, work: impl Fn() -> Result<T, MergeError>) -> Result<T, MergeError> {
        match work() {
            Err(error) if !matches!(error, MergeError::Cancelled) => match self.staged() {
                Ok(Staged::Published) => work(),
                _ => Err(error),
            },
            done => done,
        }
    }

    fn staged(&self) -> Result<Staged, MergeError> {
        self.opened.output.open(&self.opened.record)
    }
}

#[cfg(test)]
mod devices;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vocabulary;
