//! Runs of a trainer that asks: every rank has its program led, rank 0 decides, and what it decides is on disk before anyone is told.
//!
//! ```text
//! program ─ call ─▶ its rank ─ all gather ─▶ rank 0: agree, check, record, take ─ broadcast ─▶ every rank ─ reply ─▶ program
//! ```
//!
//! No coordinator takes part: the method is at work beside the trainer, so that losing the coordinator loses no decision and changes
//! none. What is recorded is in the run's folder, and whoever takes the run up again reads it.

mod answer;
mod records;

use super::{
    attempt_name,
    files::{self, TRAINER},
    fit::Laws,
    place::Place,
    prepare,
    run::RESULT,
};
use crate::{
    MixtureError, Proportions,
    job::{
        JobError, MixJob,
        history::Line,
        result::RunResult,
        runs::{Role, RunId},
        step::{self, Ran, Step},
    },
    steer::{Begun, DomainInfo, Last, Steering, Turn},
    trainer::{External, Led, Trainers},
};
use answer::Answering;
use braid_workload::{Exchange, Join, Membership, TaskContext};
use records::Records;
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio_util::sync::CancellationToken;

/// Carries out a step of a job with such a trainer.
pub(super) fn step(job: &MixJob, step: Step, trainers: &Trainers, context: &TaskContext) -> Result<Value, JobError> {
    let (name, settings) = job.spec.trainer()?;
    let external = trainers.get(name)?.external();
    let external = external.ok_or_else(|| JobError::Task(format!("the trainer {name} does not ask")))?;
    match step {
        Step::Prepare => step::write(&prepare::prepare(job, &attempt_name(context))?),
        Step::Run { run } => {
            let task = Task { job, external, settings, context };
            task.run(run).map_err(|error| error.of(&run.label(&job.spec)))?;
            step::write(&Ran::Ended)
        }
        Step::Fit { campaign } => {
            let (domains, sizes) = (job.spec.domains()?, job.spec.told_sizes());
            let laws = Laws { job, domains: &domains, sizes, context };
            laws.fit(campaign).map_err(|error| error.of(&campaign.label(&job.spec)))?;
            Ok(Value::Null)
        }
        other => Err(JobError::Task(format!("a trainer that asks has no {other:?}"))),
    }
}

struct Task<'a> {
    job: &'a MixJob,
    external: &'a dyn External,
    settings: &'a Value,
    context: &'a TaskContext,
}

impl Task<'_> {
    fn run(&self, id: RunId) -> Result<(), JobError> {
        let spec = &self.job.spec;
        let place = Place::new(self.job.out.join(id.folder(spec)), attempt_name(self.context));
        let (domains, sizes) = (spec.domains()?, spec.told_sizes());
        let laws = Laws { job: self.job, domains: &domains, sizes: sizes.clone(), context: self.context };
        let settings = laws.settings_of(id)?;
        let (seed, steps) = (id.campaign.seed, id.extent(spec).steps);
        place.claim(&json!({ "method": settings, "steps": steps, "from": 0, "seed": seed }))?;
        let trainer = place.file(TRAINER);
        fs::create_dir_all(&trainer).map_err(JobError::file("create", &trainer))?;
        let run = spec.run(sizes, seed, steps)?;
        let source = |(name, source): &(String, crate::data::DomainSource)| DomainInfo {
            name: name.clone(),
            paths: source.paths.clone(),
            tokens: source.tokens,
        };
        let begun = Begun {
            domains: spec.domains.0.iter().map(source).collect(),
            steps,
            slots: spec.batch,
            context: spec.context as u64,
            seed,
            checkpoint_every: spec.checkpoint_every,
            folder: trainer,
            method: spec.methods.get(id.campaign.method).map(|method| method.name.clone()).unwrap_or_default(),
        };
        let last = if id.role == Role::Main { Last::Test } else { Last::Validation };
        let steering = Steering::new(&settings, run, last)?;
        self.context.together(|exchange| self.with_the_others(exchange, &place, steering, begun, &id.label(spec)))
    }

    fn with_the_others(
        &self,
        exchange: &dyn Exchange,
        place: &Place,
        mut steering: Steering,
        begun: Begun,
        label: &str,
    ) -> Result<(), JobError> {
        exchange.set_timeout(self.external.shape(self.settings)?.patience);
        let domains = steering.online().run().domains.clone();
        let mut records = None;
        if exchange.rank() == 0 && !place.file(RESULT).exists() {
            let (mut opened, told) = Records::open(place)?;
            for told in told {
                opened.keep(steering.take(told)?);
            }
            if steering.online().step() > 0 {
                self.context.log(format!("{label}: going on, step {} is reported", steering.online().step()));
            }
            records = Some(opened);
        }
        // An earlier attempt may have been killed right before its end.
        let mut over = [u8::from(records.is_none() || steering.turn(begun.steps).is_ok_and(|turn| turn == Turn::Over))];
        exchange.broadcast(0, &mut over)?;
        if over == [0] {
            let left = AtomicBool::new(false);
            let folder = begun.folder.clone();
            let mut answering = Answering::new(exchange, steering, records, begun, label, self.context);
            let gone = |why: &str| {
                left.store(true, Ordering::Release);
                exchange.abort(why);
            };
            let context = self.own_context(exchange)?;
            let answer = &mut |call| answering.answer(call, &left);
            let led = Led { domains: &domains, folder: &folder, context: &context, answer, gone: &gone };
            let led = self.external.lead(self.settings, led);
            (steering, records) = answering.end(led)?;
        }
        if let Some(records) = records {
            end(place, &steering, records)?;
        }
        // A rank whose program has left early meets nobody here, and is noticed.
        Ok(exchange.barrier()?)
    }

    /// The same task for the program: its gang meets over a part of the exchange that is there.
    fn own_context(&self, exchange: &dyn Exchange) -> Result<TaskContext, JobError> {
        let of = self.context;
        let membership = match &of.membership {
            None => None,
            Some(membership) => {
                let everyone: Vec<usize> = (0..exchange.size()).collect();
                let join: Arc<dyn Join> = Arc::new(Part(exchange.split(&everyone)?));
                Some(Membership { gang: membership.gang.clone(), join })
            }
        };
        Ok(TaskContext {
            task: of.task,
            attempt: of.attempt,
            cancel: of.cancel.child_token(),
            progress: Arc::clone(&of.progress),
            log: Arc::clone(&of.log),
            pool: Arc::clone(&of.pool),
            memory: of.memory,
            gpus: of.gpus.clone(),
            membership,
        })
    }
}

/// A gang that has met.
struct Part(Arc<dyn Exchange>);

impl Join for Part {
    fn join(&self, _: &braid_workload::Gang, _: &CancellationToken) -> Result<Arc<dyn Exchange>, braid_workload::ExchangeError> {
        Ok(Arc::clone(&self.0))
    }
}

/// Writes down what the run came to.
fn end(place: &Place, steering: &Steering, records: Records) -> Result<(), JobError> {
    let online = steering.online();
    let Some((last, losses)) = steering.last_losses() else {
        let due = format!("a run of {} steps with its last losses", online.run().steps);
        let step = online.step();
        return Err(MixtureError::Due { step, due }.into());
    };
    let history = Line::encode(records.history())?;
    files::write(&place.file("history.jsonl"), history.as_bytes(), place.attempt())?;
    let tally = online.tally();
    let (mut test, mut validation, mut cost) = (vec![], vec![], online.cost());
    match last {
        Last::Test => test = losses.to_vec(),
        Last::Validation => {
            validation = losses.to_vec();
            cost.validations += 1;
        }
    }
    let result = RunResult {
        method: online.name().to_owned(),
        seed: online.run().seed,
        test,
        validation,
        learnt: online.learnt(),
        realised: tally.proportions().unwrap_or_else(|| Proportions::uniform(tally.counts().len())),
        tokens: tally.counts().to_vec(),
        cost,
    };
    files::write_json(&place.file(RESULT), &result, place.attempt())?;
    records.remove()
}
