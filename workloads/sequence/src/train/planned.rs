//! Plans, made ahead of their steps on a thread of their own, by rank 0.

use super::{
    Corpus, TrainError, TrainSpec,
    journal::{Journal, PlanLine},
};
use crate::planner::{Batch, CostModel, PlanOptions, Tokens, plan};
use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};

/// Steps that are planned beyond the one that runs.
const AHEAD: usize = 2;

/// The plan of a step: those sequences of the corpus, by that plan.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct StepPlan {
    /// The corpus's numbers of the sequences that the plan's indices mean.
    pub sequences: Vec<usize>,
    /// What is to be done, and how long each sequence is.
    pub line: PlanLine,
}

/// Makes the plan of one step.
///
/// # Errors
/// When a sequence fits nowhere: [`TrainSpec::check`] has excluded it.
pub(super) fn plan_step(spec: &TrainSpec, corpus: &Corpus, cost: &CostModel, step: u64) -> Result<StepPlan, TrainError> {
    let sequences = corpus.batch(spec.seed, step, spec.sequences_per_step);
    let lengths: Vec<u64> = sequences.iter().map(|&index| corpus.sequence(index).len() as u64).collect();
    let tokens: Vec<Tokens> = lengths.iter().map(|&length| Tokens(length)).collect();
    // Nobody waits between micro-batches: parameters are replicated, and gradients are added once a step.
    let options = PlanOptions { barrier: false, ..PlanOptions::default() };
    let plan = plan(&Batch::exact(&tokens), cost, &options)?;
    Ok(StepPlan { sequences, line: PlanLine { step, lengths, plan } })
}

/// Plans that come in order, each written down before it is handed out.
pub(super) struct Ahead {
    plans: Receiver<Result<StepPlan, TrainError>>,
}

impl Ahead {
    /// Plans the steps from `first` on. Plans in `kept` that are of the same sequences are taken instead.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        (spec, corpus, cost): (&'scope TrainSpec, &'scope Corpus, &'scope CostModel),
        (mut journal, kept): (Journal, Vec<PlanLine>),
        first: u64,
    ) -> (Self, ScopedJoinHandle<'scope, ()>) {
        let (send, plans) = sync_channel(AHEAD);
        let kept: BTreeMap<u64, PlanLine> = kept.into_iter().map(|line| (line.step, line)).collect();
        let thread = scope.spawn(move || {
            // The receiver that is gone is the training that has ended.
            let _ =
                (first..spec.steps).try_for_each(|step| send_one(&send, || next(spec, corpus, cost, &mut journal, &kept, step)));
        });
        (Self { plans }, thread)
    }

    /// The next plan.
    pub(super) fn next(&self) -> Result<StepPlan, TrainError> {
        self.plans.recv().unwrap_or(Err(TrainError::Cancelled))
    }
}

fn send_one(
    send: &SyncSender<Result<StepPlan, TrainError>>,
    make: impl FnOnce() -> Result<StepPlan, TrainError>,
) -> Result<(), ()> {
    let plan = make();
    let failed = plan.is_err();
    send.send(plan).map_err(|_| ())?;
    if failed { Err(()) } else { Ok(()) }
}

fn next(
    spec: &TrainSpec,
    corpus: &Corpus,
    cost: &CostModel,
    journal: &mut Journal,
    kept: &BTreeMap<u64, PlanLine>,
    step: u64,
) -> Result<StepPlan, TrainError> {
    let sequences = corpus.batch(spec.seed, step, spec.sequences_per_step);
    let lengths = sequences.iter().map(|&index| corpus.sequence(index).len() as u64);
    if let Some(line) = kept.get(&step).filter(|line| line.plan.world == spec.ranks && lengths.eq(line.lengths.iter().copied())) {
        return Ok(StepPlan { sequences, line: line.clone() });
    }
    let made = plan_step(spec, corpus, cost, step)?;
    journal.write(&made.line)?;
    Ok(made)
}
