//! The life of one rank: meet the others, agree where to go on, then step after step as planned.

use super::{
    Corpus, Tokenizer, TrainError, TrainJob, TrainSpec,
    checkpoint::{Checkpoint, Checkpoints},
    cost::cost_model,
    journal::{Journal, LossLine},
    planned::{Ahead, StepPlan},
};
use crate::{
    model::{Loss, Model, Moments},
    parallel::{Layout, SequenceGroup},
    planner::Group,
};
use braid_gpu::Attending;
use braid_kernels::attention::Documents;
use braid_workload::{Exchange, TaskContext, exchange::TypedExchange};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// What a training comes to. Rank 0 knows it all; another that goes on from a checkpoint has not seen the first loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Steps of the whole training.
    pub steps: u64,
    /// Tokens read by all of them.
    pub tokens: u64,
    /// Nats a token at the first step.
    pub first_loss: f64,
    /// And at the last.
    pub last_loss: f64,
}

/// Runs a rank to the end of the training.
pub(super) fn run(
    job: &TrainJob,
    context: &TaskContext,
    exchange: &dyn Exchange,
    gpus: &Arc<Attending>,
) -> Result<Outcome, TrainError> {
    let spec = &job.spec;
    let tokenizer = Tokenizer::read(&spec.tokens)?;
    tokenizer.check(&spec.tokens, job.vocabulary)?;
    let corpus = Corpus::read(spec, &tokenizer)?;
    let model = Model::on(&spec.model, job.vocabulary, gpus)?;
    same_documents(exchange, &corpus)?;
    let mut rank = Rank {
        spec,
        tokenizer: &tokenizer,
        corpus: &corpus,
        model: &model,
        exchange,
        context,
        groups: HashMap::new(),
        decays: model.table().places().iter().filter(|place| place.shape.len() > 1).map(|place| place.range.clone()).collect(),
    };
    if exchange.rank() == 0 { rank.lead(job) } else { rank.follow() }
}

struct Rank<'a> {
    spec: &'a TrainSpec,
    tokenizer: &'a Tokenizer,
    corpus: &'a Corpus,
    model: &'a Model,
    exchange: &'a dyn Exchange,
    context: &'a TaskContext,
    /// Groups of ranks that were formed before, by first rank and degree.
    groups: HashMap<(u32, u32), Arc<dyn Exchange>>,
    decays: Vec<Range<usize>>,
}

impl Rank<'_> {
    /// Rank 0 reads and writes checkpoints, plans, and keeps the journals.
    fn lead(&mut self, job: &TrainJob) -> Result<Outcome, TrainError> {
        let cost = cost_model(self.spec, job.vocabulary)?;
        let checkpoints = Checkpoints::open(job, self.model.table(), (self.tokenizer, self.corpus))?;
        self.context.log(self.corpus.to_string());
        let found = checkpoints.newest()?;
        let at = found.as_ref().map_or(0, |checkpoint| checkpoint.step);
        if at > 0 {
            self.context.log(format!("going on from checkpoint-{at}"));
        }
        let mut state = self.agree(found)?;
        let (mut losses, before) = Journal::open(&job.out.join("losses.jsonl"), |line: &LossLine| line.step < at)?;
        let plans = Journal::open(&job.out.join("plans.jsonl"), |_| true)?;
        let (spec, corpus) = (self.spec, self.corpus);
        std::thread::scope(|scope| {
            let (ahead, _) = Ahead::start(scope, (spec, corpus, &cost), plans, at);
            let [first_loss, last_loss] = [before.first(), before.last()].map(|line| line.map_or(0.0, |line| line.loss));
            let mut outcome = Outcome { steps: spec.steps, tokens: state.tokens, first_loss, last_loss };
            for step in at..spec.steps {
                let plan = ahead.next()?;
                self.tell_all(Some(&plan))?;
                let line = self.step(&plan, &mut state)?;
                losses.write(&line)?;
                self.context.log(format!("step {step}: loss {:.4}, gradient {:.3}, {}", line.loss, line.norm, shape(&plan)));
                outcome.note(&line);
                if state.step.is_multiple_of(spec.checkpoint_every) || state.step == spec.steps {
                    checkpoints.write(&state)?;
                }
            }
            checkpoints.publish(&state)?;
            self.exchange.barrier()?;
            Ok(outcome)
        })
    }

    fn follow(&mut self) -> Result<Outcome, TrainError> {
        let mut state = self.agree(None)?;
        let at = state.step;
        let mut outcome = Outcome { steps: self.spec.steps, tokens: state.tokens, first_loss: 0.0, last_loss: 0.0 };
        for _ in at..self.spec.steps {
            let plan = self.tell_all(None)?;
            let line = self.step(&plan, &mut state)?;
            outcome.note(&line);
        }
        self.exchange.barrier()?;
        Ok(outcome)
    }

    /// Everyone takes rank 0's checkpoint, or begins alike.
    fn agree(&self, found: Option<Checkpoint>) -> Result<Checkpoint, TrainError> {
        let elements = self.model.table().elements();
        let mut numbers = found.as_ref().map_or([0, 0], |checkpoint| [checkpoint.step, checkpoint.tokens]);
        self.broadcast_numbers(&mut numbers)?;
        let [step, tokens] = numbers;
        let mut state = found.unwrap_or_else(|| Checkpoint {
            step,
            tokens,
            parameters: if step == 0 { self.model.table().begin(self.spec.seed) } else { vec![0.0; elements] },
            moments: Moments::zeros(elements),
        });
        if step > 0 {
            for values in [&mut state.parameters, &mut state.moments.mean, &mut state.moments.square] {
                self.exchange.broadcast(0, bytemuck::cast_slice_mut(values))?;
            }
        }
        Ok(state)
    }

    fn broadcast_numbers(&self, numbers: &mut [u64]) -> Result<(), TrainError> {
        Ok(self.exchange.broadcast(0, bytemuck::cast_slice_mut(numbers))?)
    }

    /// Everyone gets rank 0's plan.
    fn tell_all(&self, plan: Option<&StepPlan>) -> Result<StepPlan, TrainError> {
        let unreadable =
            |error: serde_json::Error| TrainError::Spec { name: "the plan of a step".into(), problem: error.to_string() };
        let mut bytes = plan.map(serde_json::to_vec).transpose().map_err(unreadable)?.unwrap_or_default();
        let mut length = [bytes.len() as u64];
        self.broadcast_numbers(&mut length)?;
        bytes.resize(usize::try_from(length[0]).unwrap_or(usize::MAX), 0);
        self.exchange.broadcast(0, &mut bytes)?;
        serde_json::from_slice(&bytes).map_err(unreadable)
    }

    /// One step of the optimizer.
    fn step(&mut self, plan: &StepPlan, state: &mut Checkpoint) -> Result<LossLine, TrainError> {
        if self.context.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        let lengths = &plan.line.lengths;
        let tokens: u64 = lengths.iter().sum();
        let predicted = tokens - lengths.len() as u64;
        let scale = (1.0 / predicted as f64) as f32;
        let mut gradient = vec![0.0; state.parameters.len()];
        let mut loss = Loss::default();
        let rank = self.exchange.rank() as u32;
        for micro_batch in &plan.line.plan.micro_batches {
            let Some(group) = micro_batch.groups.iter().find(|group| group.ranks().contains(&rank)) else { continue };
            let part = self.compute(group, plan, &state.parameters, scale, &mut gradient)?;
            loss = Loss { nats: loss.nats + part.nats, tokens: loss.tokens + part.tokens };
        }
        self.exchange.all_reduce_f32(&mut gradient)?;
        let mut sums = [loss.nats, loss.tokens as f64];
        self.exchange.all_reduce_f64(&mut sums)?;
        let step = state.step;
        let mean = sums[0] / sums[1];
        if !mean.is_finite() || sums[1] != predicted as f64 {
            return Err(TrainError::Diverged { step });
        }
        let AtStep { lr, norm } = self.optimize(state, &gradient);
        state.step += 1;
        state.tokens += tokens;
        self.context.progress.add(tokens);
        Ok(LossLine { step, loss: mean, tokens, norm, lr })
    }

    fn optimize(&self, state: &mut Checkpoint, gradient: &[f32]) -> AtStep {
        let (optimizer, at) = (&self.spec.optimizer, (state.step, self.spec.steps));
        let decays = |index: usize| {
            let after = self.decays.partition_point(|range| range.end <= index);
            self.decays.get(after).is_some_and(|range| range.contains(&index))
        };
        let norm = optimizer.step(at, &mut state.parameters, gradient, &mut state.moments, decays);
        AtStep { lr: optimizer.rate(at.0, at.1), norm }
    }

    /// The loss and gradient of one group's sequences, this rank's part of them.
    fn compute(
        &mut self,
        group: &Group,
        plan: &StepPlan,
        parameters: &[f32],
        scale: f32,
        gradient: &mut [f32],
    ) -> Result<Loss, TrainError> {
        let exchange = self.group(group)?;
        let sequences = || group.sequences.iter().map(|&index| self.corpus.sequence(plan.sequences[index]));
        let tokens: Vec<u32> = sequences().flatten().copied().collect();
        let documents = Documents::of_lengths(sequences().map(<[u32]>::len));
        let layout = Layout::balanced(documents, exchange.size());
        let ranks = SequenceGroup::new(&*exchange, &layout)?;
        Ok(self.model.train(parameters, &ranks, &tokens, scale, gradient)?)
    }

    fn group(&mut self, group: &Group) -> Result<Arc<dyn Exchange>, TrainError> {
        let key = (group.first_rank.0, group.degree.0);
        if let Some(known) = self.groups.get(&key) {
            return Ok(Arc::clone(known));
        }
        let members: Vec<usize> = group.ranks().map(|rank| rank as usize).collect();
        let formed = self.exchange.split(&members)?;
        self.groups.insert(key, Arc::clone(&formed));
        Ok(formed)
    }
}

struct AtStep {
    lr: f32,
    norm: f64,
}

impl Outcome {
    fn note(&mut self, line: &LossLine) {
        if line.step == 0 {
            self.first_loss = line.loss;
        }
        self.last_loss = line.loss;
        self.tokens += line.tokens;
    }
}

/// `2 1×2 | 4`: groups of a plan as its table has them, a degree and how many there are of it, micro-batches apart.
fn shape(plan: &StepPlan) -> String {
    let micro_batch = |groups: &[Group]| {
        let mut degrees: Vec<u32> = groups.iter().map(|group| group.degree.0).collect();
        degrees.sort_unstable_by(|a, b| b.cmp(a));
        let runs = degrees.chunk_by(|a, b| a == b).map(|run| match run.len() {
            1 => run[0].to_string(),
            count => format!("{}×{count}", run[0]),
        });
        runs.collect::<Vec<_>>().join(" ")
    };
    plan.line.plan.micro_batches.iter().map(|part| micro_batch(&part.groups)).collect::<Vec<_>>().join(" | ")
}

fn same_documents(exchange: &dyn Exchange, corpus: &Corpus) -> Result<(), TrainError> {
    let mine = corpus.digest();
    let mut all = vec![0; mine.len() * exchange.size()];
    exchange.all_gather_values(&mine, &mut all)?;
    match all.chunks(mine.len()).position(|digest| digest != &all[..mine.len()]) {
        Some(rank) => Err(TrainError::Differs { rank }),
        None => Ok(()),
    }
}
